# Holler's words in Arabic.

## The product
slogan = اضغط الزر باستمرار وتكلّم، فيسمعك كل من في الغرفة.
starting = يبدأ Holler …
back = رجوع
close = إخفاء

## Signing in
sign-in = تسجيل الدخول
sign-in-busy = جارٍ تسجيل الدخول …
sign-in-name = اسم الدخول
sign-in-empty = أدخل اسم الدخول وكلمة المرور.
sign-in-help = ليس لديك حساب؟ اطلب دعوة ممن يدير هذا الخادم: رابطها يقود إلى نموذج كهذا. نسيت كلمة المرور؟ يمكنه أن يرسل إليك رابطًا لكلمة جديدة. تبقى مسجَّل الدخول في هذا المتصفح حتى تخرج.
password = كلمة المرور
password-new = كلمة مرور جديدة
password-hint = عشرة أحرف على الأقل، ما لم يطلب هذا الخادم أكثر. بضع كلمات خيار جيد.
password-show = إظهارها

## A link that led here
invite-title = أنت مدعو
invite-join = الانضمام إلى { $workspace }
invite-refused = لا يمكن استعمال هذه الدعوة: { $reason }
invite-refused-hint = تنتهي الدعوة بعد مدة، أو بعد عدد من الأشخاص، أو حين تُسحب. اطلب دعوة جديدة ممن أرسلها.
invite-looking = جارٍ النظر في الدعوة …
invite-rooms = ستكون في:
invite-name = اسمك
invite-name-empty = أدخل اسمك كما يراه الآخرون.
invite-login-hint = به تسجّل الدخول على أجهزة أخرى.
invite-login-wrong = يتكوّن اسم الدخول من a-z و0-9 والنقطة والشرطة والشرطة السفلية، ويبدأ بحرف أو رقم.
invite-password-empty = اختر كلمة مرور.
invite-replaces = أنت مسجَّل الدخول هنا باسم { $login }. الانضمام ينشئ حسابًا جديدًا ويُخرج ذاك من هذا المتصفح.
invite-submit = انضمام
invite-busy = جارٍ الانضمام …
reset-title = تعيين كلمة مرور جديدة
reset-hint = يعمل هذا الرابط مرة واحدة. يُخرجك من كل مكان آخر ويُدخلك هنا.
reset-submit = تعيين كلمة المرور
reset-busy = جارٍ التعيين …
entry-go-on = المتابعة باسم { $login }
entry-sign-in = لدي حساب: تسجيل الدخول

## The connection
link-new = جارٍ الاتصال …
link-up = متصل
link-up-in = متصل · { $ms } مث
link-trying = جارٍ الاتصال من جديد …
link-down = غير متصل: { $reason }. المحاولة التالية بعد { $seconds } ث.
link-ended = غير متصل
link-ended-why = لا يوجد اتصال، ولن تُجرى محاولة: { $reason }.
link-elsewhere = Holler مفتوح في علامة تبويب أو نافذة أخرى من هذا المتصفح، والاتصال لها.
link-use-here = استعماله هنا
plays-on = الصوت على { $name }
plays-elsewhere = الصوت على جهاز آخر لك
plays-here = تشغيله هنا
link-connect = اتصال

## Rooms
rooms = الغرف
rooms-none = لست في أي غرفة بعد. اطلب من مشرف أن يضيفك إلى واحدة: اسمك عنده { $login }. ستظهر هنا من تلقاء نفسها.
rooms-fetching = جارٍ جلب غرفك …
rooms-choose = اختر غرفة لتسمعها أولًا وتتكلم فيها.
rooms-hear-all = تسمع كل غرفك؛ وحين تتكلم غرفتان معًا تُسمع التي تنظر إليها.
rooms-back = رجوع إلى الغرف
room-refused = لا يمكن متابعة هذه الغرفة: { $reason }
room-gone = لم تعد هذه الغرفة متاحة لك: أُزيلت، أو أُخرجت منها. يبقى ما تراه منها حتى تغادرها. يمكن لمشرف أن يخبرك بالمزيد.
room-new = { $count } جديد
room-here = { $here } من { $all } هنا
room-people =
    { $count ->
        [zero] لا أحد
        [one] شخص واحد
        [two] شخصان
        [few] { $count } أشخاص
        [many] { $count } شخصًا
       *[other] { $count } شخص
    }

## The microphone
microphone-ready = الميكروفون جاهز.
microphone-why = لكي تتكلم، تحتاج هذه الصفحة إلى الميكروفون. ويبقى مفتوحًا مدة بعد كلامك كي لا تُقطع الكلمة التالية، والإعدادات تبيّن كم. لا يُرسَل شيء إلا وأنت تضغط الزر.
microphone-asking = اختر «السماح» في الأعلى
microphone-allow = السماح بالميكروفون الآن
no-microphone-refused = لا يسمح المتصفح لهذه الصفحة باستعمال الميكروفون. اسمح به في إعدادات المتصفح لهذه الصفحة (الرمز بجانب العنوان)، ثم اضغط مرة أخرى.
no-microphone-there = لا يوجد ميكروفون. صِل واحدًا، ثم اضغط مرة أخرى.
no-microphone-starts = لا يبدأ الميكروفون: ربما يستعمله برنامج آخر. أغلقه، ثم اضغط مرة أخرى.
no-microphone-lost = فُصل الميكروفون أو سُحب. صِله، ثم اضغط مرة أخرى.
no-microphone-late = لم يبدأ الميكروفون خلال 20 ثانية. اضغط مرة أخرى.
no-microphone-early = رُفع الزر قبل أن يجهز الميكروفون: اضغط مدة أطول قليلًا.
no-microphone-elsewhere = أنت تتكلم في علامة تبويب أخرى من هذا المتصفح: الكلام من واحدة في كل مرة.
tab-unkept = ما قلته في علامة تبويب أخرى من هذا المتصفح ليس على القرص: تكلّم هناك حتى يُسلَّم، أو أفسح مكانًا.
tab-outdated = نسخة أحدث من Holler مفتوحة في علامة تبويب أخرى من هذا المتصفح: أعد تحميل هذه.
no-microphone = لا يمكن تسجيل شيء ({ $detail }). أعد تحميل الصفحة، ثم اضغط مرة أخرى.

## The talk button
talk = الكلام
talk-wait = انتظر …
talk-allow = اسمح بالميكروفون كي يسمعك الآخرون.
talk-starting = جارٍ تشغيل الميكروفون
talk-asking = جارٍ طلب الكلام
talk-emergency = طوارئ: تكلّم
talk-emergency-hint = ميكروفونك مفتوح، وكل من في الغرفة يرى حالة الطوارئ. المس الزر لإنهائها.
talk-queued = في الدور: { $position } من { $waiting }
talk-queued-hint = واصل الضغط: دورك حين يصير هذا أحمر.
talk-now = تكلّم الآن
talk-now-held = كل من في الغرفة يسمعك. ارفع إصبعك حين تنتهي.
talk-now-latched = كل من في الغرفة يسمعك. المس مرة أخرى حين تنتهي.
talk-offline = غير متصل
talk-offline-held = يُسجَّل، ويُسلَّم من تلقاء نفسه حين يعود الاتصال.
talk-offline-hint = ما تقوله يُسجَّل، ويُسلَّم حين يعود الاتصال.
talk-offline-said = غير متصل: يُسجَّل
talk-denied = ليس الآن
talk-failed = لم ينجح ذلك
talk-recorded = سُجِّل
talk-recorded-hint = يُحفظ هنا، ويُسلَّم من تلقاء نفسه حين يعود الاتصال.
talk-recorded-said = سُجِّل: يُسلَّم حين يعود الاتصال
talk-put-off = ستُعاد المحاولة تلقائيًا: { $reason }
talk-kept = لم يُسلَّم
talk-kept-hint = يبقى على هذا الجهاز، ويمكن تشغيل ما ينتظر هنا أو إرساله أو حذفه.
talk-hold = اضغط باستمرار لتتكلم
talk-tap = المس لتتكلم
talk-ending = جارٍ الإرسال …
talk-ending-hint = آخره في الطريق.
talk-listen = استماع فقط
talk-listen-hint = لك أن تستمع في هذه الغرفة. يستطيع مشرف الغرفة أن يسمح لك بالكلام.
talk-other = { $name } يتكلم
talk-other-hint = اضغط باستمرار لتأخذ دورًا.
talk-other-emergency = طوارئ: { $name } يتكلم
talk-other-emergency-hint = استمع. يستطيع المنسّق أن يتكلم فورًا، والآخرون يأخذون دورًا.
talk-own = أنت تتكلم
talk-own-elsewhere = أنت تتكلم، من جهاز آخر
talk-no-microphone = لا ميكروفون
talk-reached = { $reach }.
talk-delivered = سُلِّم: كل كلمة عند الخادم.
talk-delivered-said = سُلِّم
talk-tap-hint = المس مرة أخرى للإنهاء.
talk-key-hint = أو اضغط { $key } باستمرار.
talk-latch = بلا يدين
talk-seconds = { $seconds } ث
key-space = مفتاح المسافة
denied-busy = شخص آخر يتكلم. اضغط مرة أخرى حين ينتهي.
denied-queue-full = كثيرون ينتظرون الكلام هنا. اضغط مرة أخرى بعد قليل.
denied-queue-expired = لم يأتِ دورك في حينه. اضغط مرة أخرى.
denied-not-allowed = لك أن تستمع في هذه الغرفة لا أن تتكلم. يستطيع مشرف الغرفة أن يغيّر ذلك.
denied-unavailable = الخادم يعيد التشغيل. اضغط مرة أخرى بعد لحظة.
revoked-preempted = أخذ الدور من له أولوية. ما قلته حتى ذلك الحين مُسلَّم.
revoked-limit = بلغتَ حد الكلام. ارفع إصبعك، ثم اضغط مرة أخرى للمتابعة.
revoked-link = انقطع الاتصال طويلًا. ما قلته يُسلَّم حين يعود.
revoked-not-allowed = لم يعد لك أن تتكلم في هذه الغرفة. يستطيع مشرف الغرفة أن يغيّر ذلك.
revoked-unavailable = الخادم يعيد التشغيل. ما قلته يُسلَّم حين يعود.

## Emergencies
emergency = طوارئ
emergency-label = طوارئ: اضغط ثانيتين
emergency-holding = واصل الضغط: { $seconds }
emergency-own = حالة الطوارئ التي أعلنتها قائمة في { $room }. كل من هناك يراها.
emergency-other = طوارئ: { $name }، في { $room }
emergency-known = طوارئ { $name }، في { $room }
emergency-see = رأيتها
emergency-clear = إنهاؤها
emergency-clear-later = لا اتصال: يمكن إنهاؤها عند عودة الاتصال.

## What was said and written
timeline = ما قيل وما كُتب
timeline-empty = لم يُقل هنا شيء بعد. اضغط الزر باستمرار وقل مرحبًا: سترى هنا من سمعك.
timeline-earlier = إظهار ما قبله
timeline-fetching = جارٍ جلب ما سبق …
timeline-full = هذه آخر 50,000 مدخلة. الأقدم منها يبقى على الخادم.
timeline-no-match = لا شيء مما هنا يطابق.
timeline-gap = ما كان قبل هذا لم يعد محفوظًا.
search = بحث
search-label = البحث في هذه الغرفة
search-more = آخر { $count } من النتائج. اكتب المزيد لتضييق البحث.
search-earlier = البحث فيما قبل ذلك
play-missed = تشغيل ما فات ({ $count })
play-last = إعادة الأخير
play-burst = تشغيل ما قاله { $name } في { $time }
play-stop = إيقاف
play-position = الموضع
play-position-of = { $at } من { $whole }
play-speed = السرعة: { $speed }
you = أنت
somebody = شخص ما
text-refused = لم تُرسل: { $reason }
text-waiting = تنتظر الإرسال
text-put-off = لم تُرسل بعد، وستُعاد المحاولة تلقائيًا: { $reason }
text-edited = عُدِّلت
text-deleted = سُحبت
text-changing = التغيير ينتظر الإرسال
text-change-refused = لم يتغيّر: { $reason }
text-reply = رد
text-edit = تغيير
text-delete = سحب
text-delete-sure = سحبها عن الجميع
text-actions = الرد على ما كتبه { $name } في { $time } أو تغييره
quote = { $name }: { $text }
quote-earlier = رد على شيء سابق
compose-reply = ترد على { $quote }
compose-edit = تغيّر ما كتبته
compose-leave = كتابة شيء جديد بدلًا من ذلك
burst-live = يتكلم الآن
burst-interrupted = { $length } حتى الآن؛ انقطع الاتصال
burst-missed = { $length }، فاتتك
burst-heard = { $length }، سُمعت
burst-arriving = { $length }، آخرها في الطريق
burst-waiting = تنتظر التسليم
burst-kept = لم تُسلَّم؛ تبقى على هذا الجهاز
burst-reached = { $state } · { $reach }
burst-emergency = طوارئ · { $state }
length-unknown = الطول غير معروف
length = { $seconds } ث
event-at = { $time }: { $what }
event-emergency-own = أعلنتَ حالة طوارئ
event-emergency = طوارئ من { $name }
event-cleared-own = أُنهيت حالة طوارئك
event-cleared = أُنهيت طوارئ { $name }
event-joined = انضم { $name } إلى الغرفة
event-left = غادر { $name } الغرفة
event-away = في غيابك: { $what }
event-role-listener = يمكنك الآن الاستماع فقط هنا
event-role-talker = يمكنك الآن التكلم والكتابة هنا
event-role-dispatcher = أنت الآن موزِّع هنا
event-role-admin = أنت الآن مشرف هنا
message = رسالة
message-hint = اكتب رسالة
message-send = إرسال
reach-nobody = لا أحد غيرك في هذه الغرفة
reach-delivered = وصل إلى { $count } من { $of }
heard = سُمع
heard-all = سمعه الجميع ({ $of })
heard-some = سمعه { $count } من { $of }
read = قُرئت
read-all = قرأها الجميع ({ $of })
read-some = قرأها { $count } من { $of }

## People
people = من في هذه الغرفة
people-offline = لا اتصال: ما يُعرف عن الناس ينقضي أجله.
people-counted = هذا العدد يُحصى ولا يُسرد.
people-search = البحث عن شخص
people-none-found = لا أحد ممن تشاركهم غرفة يحمل هذا الاسم.
people-alone = أنت وحدك هنا. يمكن لمشرف الغرفة أن يضيف أشخاصًا.
people-alone-invite = أنت وحدك هنا. ادعُ أشخاصًا: ينضمون برابط أو برمز.
person-direct = التكلم مع { $name } على انفراد
invite-people = دعوة أشخاص
invite-uses = لكم شخص
invite-days = صالحة لمدة
invite-make = إنشاء الدعوة
invite-making = جارٍ إنشاؤها …
invite-not-made = لا توجد دعوة: { $reason }
invite-made-hint = من معه الرابط يمكنه الانضمام إلى هذه الغرفة. لا يظهر إلا الآن: أرسله، أو دع كاميرا هاتف ترى الرمز.
invite-code = الرابط رمزًا للكاميرا
invite-link = الرابط
invite-copy = نسخ الرابط
invite-copied = نُسخ
days =
    { $count ->
        [zero] { $count } يوم
        [one] يوم واحد ({ $count })
        [two] يومان ({ $count })
        [few] { $count } أيام
        [many] { $count } يومًا
       *[other] { $count } يوم
    }
people-asking = جارٍ السؤال عمّن هنا …
person-you = { $name } (أنت)
presence-own = ما يراه الآخرون عنك
presence-available = متاح
presence-busy = مشغول
presence-solo = يستمع إلى غرفة واحدة
presence-away = بعيد
presence-offline = غير متصل
presence-offline-since = غير متصل، غادر { $ago }
presence-unknown = غير معروف
presence-unknown-since = غير معروف؛ آخر خبر عنه { $ago }
presence-unknown-ever = غير معروف؛ لم يُسمع عنه قط
ago-now = قبل أقل من دقيقة
ago-minutes =
    { $count ->
        [zero] قبل أقل من دقيقة
        [one] قبل دقيقة
        [two] قبل دقيقتين
        [few] قبل { $count } دقائق
        [many] قبل { $count } دقيقة
       *[other] قبل { $count } دقيقة
    }
ago-hours =
    { $count ->
        [zero] قبل أقل من ساعة
        [one] قبل ساعة
        [two] قبل ساعتين
        [few] قبل { $count } ساعات
        [many] قبل { $count } ساعة
       *[other] قبل { $count } ساعة
    }
ago-days =
    { $count ->
        [zero] اليوم
        [one] قبل يوم
        [two] قبل يومين
        [few] قبل { $count } أيام
        [many] قبل { $count } يومًا
       *[other] قبل { $count } يوم
    }

## Settings
settings = الإعدادات
set-sound = الصوت
set-microphone = الميكروفون
set-microphone-system = اختيار النظام
set-microphone-hint = تظهر الأسماء بعد السماح بالميكروفون.
set-echo = إزالة الصدى
set-echo-hint = أوقفها إن كنت تلبس سماعات وتريد الصوت كما هو.
set-noise = إزالة الضجيج
set-noise-hint = الريح والمحركات والمراوح.
set-tones = النغمات
set-tones-hint = يُسمع الإنذار في كل حال.
set-ready = إبقاء الميكروفون جاهزًا
set-ready-hint = يُفتح عند دخولك غرفة، فتخرج كلمتك الأولى في الحال، ويُغلق بعد عشر دقائق من آخر كلام لك. يُظهر متصفحك أنه مفتوح. لا يُسجَّل شيء ولا يُرسَل حتى تضغط الزر.
set-awake = إبقاء الشاشة مضاءة
set-awake-hint = ما دمت مسجَّل الدخول وتنظر إلى هذه الصفحة.
set-telling = الإشعارات
set-telling-hint = بما يفوتك حين لا تكون أي صفحة من Holler مفتوحة، أو حين يُسكت الهاتف صفحةً غير ظاهرة.
set-telling-refused = المتصفح لا يسمح بها لهذه الصفحة: غيّر ذلك في إعداداته لهذا الموقع.
telling-ask = أتريد أن تُخبَر بما يفوتك حين يكون Holler مغلقًا؟
telling-yes = تشغيل الإشعارات
telling-no = ليس الآن
set-key = مفتاح الكلام
set-key-press = اضغط المفتاح …
set-key-is = هو { $key }: تغييره
set-look = المظهر
set-colours = الألوان
set-look-system = كالنظام
set-look-light = فاتح
set-look-dark = داكن
set-contrast = تباين عالٍ
set-still = لا شيء يتحرك
set-language = اللغة
set-language-browser = كالمتصفح
set-devices = أين سجّلت الدخول
set-device-this = هذا الجهاز
set-device-used = استُعمل { $ago }
set-device-out = إخراج { $name }
set-sign-out = إخراج
set-devices-fetching = جارٍ جلب القائمة …
set-sign-out-here = تسجيل الخروج هنا
set-data = بياناتك
set-data-hint = كل ما يحفظه هذا الخادم عنك، أسطرًا من JSON.
set-data-save = حفظ نسخة

## Faults
sound-off = الصوت متوقف حتى تلمس هذه الصفحة: هكذا تريد المتصفحات.
sound-stopped = أوقف هذا المتصفح الصوت بينما كانت الصفحة في الخلفية: ما ورد حينها فاتك سماعه ولم يُفقد. المس الصفحة لتسمع من جديد.
sound-on = تشغيل الصوت
fault = حدث خطأ: { $detail }
fault-keep = لم يستطع هذا الجهاز حفظ شيء: { $detail }
fault-too-many = رسائل كثيرة تنتظر الإرسال: لم تُؤخذ هذه. أرسلها لاحقًا.
fault-cut = توقف الميكروفون في الوسط: { $why } ما قلته حتى ذلك الحين يُسلَّم.
fault-damaged = سجلات تالفة مما قيل أو كُتب هنا: { $count }. وُضعت جانبًا، ولا يُرسَل ما فيها. كل ما عداها موجود.
outdated = لدى الخادم نسخة أحدث من هذه الصفحة. أعد تحميلها حين لا يتكلم أحد.
reload = إعادة التحميل
clock-off =
    { $count ->
        [zero] ساعة هذا الجهاز غير مضبوطة. قد تكون الأوقات المعروضة خاطئة؛ أما ترتيب ما يقال فمحفوظ.
        [one] ساعة هذا الجهاز مخطئة بدقيقة. قد تكون الأوقات المعروضة خاطئة؛ أما ترتيب ما يقال فمحفوظ.
        [two] ساعة هذا الجهاز مخطئة بدقيقتين. قد تكون الأوقات المعروضة خاطئة؛ أما ترتيب ما يقال فمحفوظ.
        [few] ساعة هذا الجهاز مخطئة بـ{ $count } دقائق. قد تكون الأوقات المعروضة خاطئة؛ أما ترتيب ما يقال فمحفوظ.
        [many] ساعة هذا الجهاز مخطئة بـ{ $count } دقيقة. قد تكون الأوقات المعروضة خاطئة؛ أما ترتيب ما يقال فمحفوظ.
       *[other] ساعة هذا الجهاز مخطئة بـ{ $count } دقيقة. قد تكون الأوقات المعروضة خاطئة؛ أما ترتيب ما يقال فمحفوظ.
    }

## Listening
room-mute = إسكات { $room }
room-muted = صامتة إلا للطوارئ
room-heard = مسموعة
room-volume = صوت هذه الغرفة
person-volume = صوت { $name }
percent = { $percent } %
own-busy = عدم الإزعاج
own-solo = منفرد: هذه الغرفة
trial = اسمع نفسك
trial-recording = جارٍ التسجيل …
trial-playing = جارٍ التشغيل …
trial-hint = يسجّل أربع ثوانٍ ويشغّلها كما يسمعك الآخرون. لا شيء يغادر هذا الجهاز.
trial-speak = تكلّم ثم استمع.
echo = الصدى
echo-open = تكلّم في غرفة الصدى
echo-hint = لا أحد غيرك في غرفة الصدى: ما تقوله فيها يذهب إلى الخادم ويعود إليك كما يسمعه الآخرون.
echo-back = هذا ما يسمعه الآخرون: عاد من الخادم.

## How it goes
quality = الاتصال والصوت
quality-connection = الاتصال
quality-link = الوصلة
quality-route = المسار
quality-route-socket = WebSocket عبر TLS
quality-route-datagrams = حزم مستقلة (WebTransport)
quality-loss-there = حزم فُقدت في الطريق إلى الخادم
quality-loss-here = حزم فُقدت في الطريق إلى هنا
quality-round-trip = ذهابًا وإيابًا
quality-codec = الترميز
quality-none = لم يُقس بعد
quality-nothing = لا شيء بعد.
quality-heard = آخر ما سُمع
quality-mouth-to-ear = من الفم إلى الأذن، تقديرًا
quality-stage-sender = التقاط وترميز وإرسال وتمرير
quality-stage-network = الشبكة إلى هنا
quality-stage-buffer = مخزن التذبذب
quality-stage-play = فك الترميز والسماعة
quality-jitter = التذبذب: التأخير المقصود
quality-loss = الفقد
quality-frames-came = إطارات وصلت مباشرة
quality-frames-played = إطارات شُغّلت
quality-frames-concealed = إطارات عُوّضت أو تُجووزت
quality-bridges = فجوات جُسرت
quality-spoken = آخر ما قيل
quality-stage-capture = الميكروفون وإطار واحد
quality-stage-encode = الترميز
quality-stage-send = انتظار الإرسال
quality-first-sent = من الزر إلى أول إطار مُرسل
quality-captured = صوت التُقط
quality-skipped = لم يُلتقط في حينه
quality-silent = لا شيء من الميكروفون في الأثناء
quality-frames-in = إطارات للترميز
quality-frames-out = إطارات رُمّزت
quality-frames-sent = إطارات أُرسلت مباشرة
quality-frames-stale = إطارات أقدم من أن تُرسل مباشرة
figure-ms = { $ms } مث
figure-share = { $share } %
figure-count = { $count }

## What the server says
problem-bad-credentials = الاسم أو كلمة المرور غير صحيحة.
problem-unauthenticated = انتهى تسجيل الدخول: سجّل الدخول من جديد.
problem-revoked = سُجّل خروج هذا الجهاز: سجّل الدخول من جديد.
problem-forbidden = هذا غير مسموح لك: { $detail }
problem-not-found = هذا غير موجود، أو لا تراه أنت: { $detail }
problem-conflict = تغيّر شيء في هذه الأثناء، أو الاسم مستعمل: { $detail }
problem-out-of-bounds = في ما أدخلته قيمة غير مقبولة: { $detail }
problem-rate-limited = محاولات كثيرة في وقت قصير. انتظر قليلًا ثم حاول من جديد.
problem-outcome-unknown = لا يُعرف هل وصل إلى الخادم. يُرسَل من جديد تلقائيًا.
problem-unavailable = هذا غير ممكن الآن: { $detail }
problem-storage-full = لم يبق مكان في الخادم فلا يحفظ شيئًا جديدًا. أخبر من يديره.
problem-read-only = لا يستطيع الخادم حفظ شيء الآن. أخبر من يديره.
problem-internal = في الخادم خلل. حاول من جديد، وإن بقي فأخبر من يديره.
problem-unreachable = الخادم لا يجيب: تحقق من الشبكة ثم حاول من جديد.
problem-foreign = من أجاب ليس خادم Holler ‏({ $detail }): قد يكون في الطريق وسيط، أو صفحة دخول لشبكة عامة.

## Why there is no connection
why-new = لا اتصال بعد
why-name = اسم الخادم ليس له عنوان
why-unreachable = الخادم لا يجيب
why-certificate = شهادة الخادم غير موثوقة
why-handshake = من يجيب ليس خادم Holler يقبل هذا التطبيق
why-lost = انقطع الاتصال
why-silent = لم يصل من الخادم شيء منذ مدة طويلة
why-revoked = سُجّل خروج هذا الجهاز؛ سجّل الدخول من جديد
why-draining = الخادم يعاد تشغيله
why-overloaded = الخادم مشغول جدًا الآن
why-replaced = مفتوح في مكان آخر
why-token = انتهى تسجيل الدخول؛ سجّل الدخول من جديد
why-too-often = انقطع الاتصال مرات كثيرة في وقت قصير
why-stopped = غير متصل
missing-rooms = لم تصل قائمة الغرف: { $why }
missing-past = لم يصل ماضي غرفة: { $why }
missing-devices = لم تصل قائمة الأجهزة: { $why }
missing-data = لم تصل بياناتك: { $why }
missing-burst = لم يصل ذلك الكلام: { $why }
## ما ينتظر التسليم
queue = في انتظار التسليم
queue-empty = لا شيء ينتظر: سُلّم كل ما قلته وكتبته.
queue-about = يخرج من تلقاء نفسه بهذا الترتيب حالما يعود الاتصال. وما أُمسك ينتظر كلمتك.
queue-try = حاول الآن
queue-show = اعرضه
queue-next =
    { $count ->
        [zero] لا شيء ({ $count }) في انتظار التسليم منذ { $since }. المحاولة التالية خلال { $seconds } ث.
        [one] { $count } عنصر في انتظار التسليم منذ { $since }. المحاولة التالية خلال { $seconds } ث.
        [two] { $count } عنصران في انتظار التسليم منذ { $since }. المحاولة التالية خلال { $seconds } ث.
        [few] { $count } عناصر في انتظار التسليم منذ { $since }. المحاولة التالية خلال { $seconds } ث.
        [many] { $count } عنصرًا في انتظار التسليم منذ { $since }. المحاولة التالية خلال { $seconds } ث.
       *[other] { $count } عنصر في انتظار التسليم منذ { $since }. المحاولة التالية خلال { $seconds } ث.
    }
queue-since =
    { $count ->
        [zero] لا شيء ({ $count }) في انتظار التسليم منذ { $since }.
        [one] { $count } عنصر في انتظار التسليم منذ { $since }.
        [two] { $count } عنصران في انتظار التسليم منذ { $since }.
        [few] { $count } عناصر في انتظار التسليم منذ { $since }.
        [many] { $count } عنصرًا في انتظار التسليم منذ { $since }.
       *[other] { $count } عنصر في انتظار التسليم منذ { $since }.
    }
queue-held =
    { $count ->
        [zero] لا شيء ({ $count }) قيد الحجز: لا إرسال إلا بكلمتك.
        [one] { $count } عنصر قيد الحجز: لا إرسال إلا بكلمتك.
        [two] { $count } عنصران قيد الحجز: لا إرسال إلا بكلمتك.
        [few] { $count } عناصر قيد الحجز: لا إرسال إلا بكلمتك.
        [many] { $count } عنصرًا قيد الحجز: لا إرسال إلا بكلمتك.
       *[other] { $count } عنصر قيد الحجز: لا إرسال إلا بكلمتك.
    }
queue-piece = { $room } · { $since }
queue-piece-held = { $room } · { $since } · ممسوك
queue-burst = كلام، { $seconds } ث
queue-burst-cut = كلام، { $seconds } ث؛ ينتهي حيث أُغلق المتصفح
queue-speaking = كلام ما زال جاريًا
queue-play = استمع
queue-send = أرسله الآن
queue-drop = تخلّص منه
queue-drop-sure = أتتخلّص منه نهائيًا؟

## كيف تُحفظ الأشياء
storage-full = لم يبق في هذا المتصفح مكان لهذه الصفحة: ما تقوله وتكتبه الآن يضيع إن أُغلقت علامة التبويب قبل تسليمه. أفرغ مساحة على هذا الجهاز، ثم يُحفظ كل شيء من جديد من تلقاء نفسه.
storage-missing = لا يحفظ هذا المتصفح شيئًا لهذه الصفحة ({ $reason }): ما تقوله وتكتبه يضيع إن أُغلقت علامة التبويب قبل تسليمه، وسيكون عليك أن تسجّل الدخول من جديد. النافذة الخاصة تفعل ذلك؛ استعمل نافذة عادية.
storage-newer = نسخة أحدث من Holler مفتوحة في علامة تبويب أخرى ولديها المخزن: أعد تحميل هذه. ما تقوله هنا حتى ذلك الحين يضيع إن أُغلقت قبل تسليمه.
storage-evicted = تخلّص هذا المتصفح مما حفظه لهذه الصفحة، ومعه تسجيل دخولك وما لم يُسلَّم بعد. سجّل الدخول من جديد؛ وإن سأل المتصفح هل تحفظ هذه الصفحة بياناتها فاسمح بذلك.
signed-out-waits = لم يُسلَّم بعد: { $count }. يخرج حين تسجّل الدخول من جديد في هذا المتصفح.
