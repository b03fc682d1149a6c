// Debian's Firefox as the tests start it. It speaks WebDriver BiDi, which puppeteer-core speaks as well.
import { createRequire } from "node:module";

export function launch({ modules, program: executablePath, profile }, preferences = {}) {
  const puppeteer = createRequire(`${modules}/`)("puppeteer-core");
  return puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    userDataDir: profile,
    defaultViewport: { width: 1280, height: 800 },
    timeout: 60_000,
    extraPrefsFirefox: {
      // The microphone is allowed, as a person would allow it.
      "media.navigator.permission.disabled": true,
      "permissions.default.microphone": 1,
      // Nothing is fetched that the page does not ask for.
      "app.normandy.enabled": false,
      "app.update.enabled": false,
      "browser.newtabpage.enabled": false,
      "browser.safebrowsing.downloads.remote.enabled": false,
      "browser.safebrowsing.malware.enabled": false,
      "browser.safebrowsing.phishing.enabled": false,
      "datareporting.policy.dataSubmissionEnabled": false,
      "extensions.update.enabled": false,
      "network.captive-portal-service.enabled": false,
      "network.connectivity-service.enabled": false,
      "services.settings.server": "https://localhost:1/v1",
      "toolkit.telemetry.enabled": false,
      ...preferences,
    },
  });
}
