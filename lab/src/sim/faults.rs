//! What goes wrong, as it happens.

use core::time::Duration;

use holler_core::engine::{Input, LinkNo, Restored};
use holler_core::units::{BurstId, Incarnation};

use super::client::Lanes;
use super::conn::Wire;
use super::disk::Health;
use super::plan::Fault;
use super::world::{Event, World};
use crate::link::{Loss, Profile};

impl World<'_> {
    pub(super) fn fault(&mut self, at: usize) {
        let plan = self.plan;
        let fault = &plan.faults[at].1;
        self.tell(|| format!("FAULT {fault:?}"));
        match fault {
            Fault::Cut { client, told, .. } => self.cut(*client, *told),
            Fault::HalfOpen { client } => {
                let now = self.now;
                if let Some((_, number)) = self.clients[*client].conn
                    && let Some(conn) = self.conns.get_mut(&number)
                {
                    conn.half_open = true;
                    conn.cut(now);
                }
            }
            Fault::Bad { client, loss, bursty, rate, .. } => {
                let loss = if *bursty {
                    Loss::Bursty { worsens: 20_000, heals: 100_000, good: 0, bad: (loss * 3).min(900_000) }
                } else {
                    Loss::Random { per_million: *loss }
                };
                let base = plan.clients[*client];
                let down = Profile { loss, rate: if *rate > 0 { Some(*rate) } else { base.rate }, ..base };
                self.set_profiles(*client, Profile { loss, ..base }, down);
            }
            Fault::Lazy { client, ms } => {
                let until = self.now + Duration::from_millis(*ms);
                for conn in self.conns.values_mut().filter(|conn| conn.client == *client) {
                    conn.lazy_until = until;
                }
            }
            Fault::KillServer { power, .. } => self.kill_server(*power),
            Fault::Drain { .. } => {
                if self.server.up {
                    self.server.drain();
                    self.server.pump(self.now, &mut self.conns);
                    self.after_server();
                    // Half a second to write what is held; then the process ends, whatever is left.
                    self.at(Duration::from_millis(150), Event::ServerStops);
                }
            }
            Fault::KillClient { client, power, .. } => self.kill_client(*client, *power),
            Fault::Disk { unclear, .. } => {
                self.server.disk.health = if *unclear { Health::Failing } else { Health::Full };
            }
            Fault::ClientDisk { client, .. } => self.clients[*client].local.full = true,
            Fault::ServerClock { s } => {
                self.server_ahead += s * 1_000;
                self.set_time();
            }
            Fault::ClientClock { client, s } => self.clients[*client].wall_ahead += s * 1_000,
            Fault::Backup => self.backup = Some(self.server.disk.state.clone()),
            Fault::Restore { .. } => {
                if let Some(backup) = self.backup.take() {
                    self.kill_server(true);
                    self.observer.restored(self.era, &self.server.disk.state);
                    self.era += 1;
                    let net = &mut self.net;
                    self.server.disk.restore(backup, || Incarnation::from_bytes(net.bytes()));
                }
            }
            Fault::UdpDead { client, up, down, .. } => {
                if *up {
                    self.udp[*client].up.cut();
                }
                if *down {
                    self.udp[*client].down.cut();
                }
            }
            Fault::UdpBad { client, loss, .. } => {
                let base = plan.udp_of(*client);
                let loss = Loss::Random { per_million: *loss };
                let bad = Profile { loss, reorder: 100_000, duplicate: 100_000, ..base };
                self.udp[*client].up.set_profile(bad);
                self.udp[*client].down.set_profile(bad);
            }
            Fault::Moves { client, told } => self.moves(*client, *told),
            Fault::PathDies { client } => self.path_dies(*client),
            Fault::Watched { client, ms } => {
                // Not before the first packet, which says where the client is: who can be first there is believed.
                if self.udp[*client].is_open() && self.server.knows_address(self.clients[*client].device) {
                    self.udp[*client].watched_until = self.now + Duration::from_millis(*ms);
                }
            }
            Fault::Twin { client, ms } => {
                if self.server.up && !self.clients[*client].cut {
                    let number = self.open(*client, LinkNo(u32::MAX));
                    self.at(Duration::from_millis(5), Event::TwinSays { conn: number, client: *client });
                    self.at(Duration::from_millis(*ms), Event::TwinGoes { conn: number });
                }
            }
        }
    }

    pub(super) fn over(&mut self, at: usize) {
        let plan = self.plan;
        let fault = &plan.faults[at].1;
        match fault {
            Fault::Cut { client, told, .. } => {
                self.tell(|| format!("client {client}: the network is back"));
                self.clients[*client].cut = false;
                self.udp[*client].up.heal();
                self.udp[*client].down.heal();
                let now = self.now;
                for conn in self.conns.values_mut().filter(|conn| conn.client == *client) {
                    conn.heal(now);
                }
                self.server_next = None;
                if *told {
                    self.clients[*client].attempts.clear();
                    self.input(*client, Input::NetworkUp, self.era);
                }
            }
            Fault::Bad { client, .. } => self.set_profiles(*client, plan.clients[*client], plan.clients[*client]),
            Fault::KillServer { .. } | Fault::Drain { .. } | Fault::Restore { .. } => {
                if !self.server.up {
                    self.happen(Event::ServerStarts);
                }
            }
            Fault::KillClient { client, .. } => {
                if self.clients[*client].engine.is_none() {
                    self.start(*client);
                }
            }
            Fault::Disk { .. } => self.server.disk.health = Health::Good,
            Fault::ClientDisk { client, .. } => self.clients[*client].local.full = false,
            Fault::UdpDead { client, .. } => {
                if !self.clients[*client].cut {
                    self.udp[*client].up.heal();
                    self.udp[*client].down.heal();
                }
            }
            Fault::UdpBad { client, .. } => {
                self.udp[*client].up.set_profile(plan.udp_of(*client));
                self.udp[*client].down.set_profile(plan.udp_of(*client));
            }
            Fault::Moves { .. }
            | Fault::PathDies { .. }
            | Fault::Watched { .. }
            | Fault::Twin { .. }
            | Fault::Lazy { .. }
            | Fault::HalfOpen { .. }
            | Fault::ServerClock { .. }
            | Fault::ClientClock { .. }
            | Fault::Backup => {}
        }
    }

    fn set_profiles(&mut self, client: usize, up: Profile, down: Profile) {
        (self.clients[client].up, self.clients[client].down) = (up, down);
        for conn in self.conns.values_mut().filter(|conn| conn.client == client) {
            conn.up.set_profile(up);
            conn.down.set_profile(down);
        }
    }

    fn cut(&mut self, client: usize, told: bool) {
        let now = self.now;
        self.clients[client].cut = true;
        self.udp[client].up.cut();
        self.udp[client].down.cut();
        for conn in self.conns.values_mut().filter(|conn| conn.client == client) {
            conn.cut(now);
        }
        if told && let Some((link, number)) = self.clients[client].conn.take() {
            // Its system closes the socket; the server hears nothing of it.
            if let Some(conn) = self.conns.get_mut(&number) {
                conn.client_open = false;
            }
            self.input(client, Input::Closed { link, code: None, detail: "no network".into() }, self.era);
        }
    }

    pub(super) fn kill_server(&mut self, power: bool) {
        if !self.server.up {
            return;
        }
        let coin = self.net.one_in(2);
        self.server.kill(coin);
        self.tell(|| format!("the server is gone (what was being synced is there: {coin})"));
        let now = self.now;
        for conn in self.conns.values_mut() {
            conn.socket = None;
            if power {
                conn.half_open = true;
                conn.cut(now);
            } else {
                conn.down.send(now, 40, Wire::Close(None));
            }
        }
        self.after_server();
    }

    fn kill_client(&mut self, client: usize, power: bool) {
        let now = self.now;
        let one = &mut self.clients[client];
        if one.engine.take().is_none() {
            return;
        }
        let coin = one.chance.one_in(2);
        self.udp[client].close();
        one.local.crash(coin);
        one.life += 1;
        (one.recording, one.is_up, one.ended) = (None, false, false);
        one.hearing.clear();
        one.attempts.clear();
        one.lanes = Lanes::default();
        let local = &one.local;
        one.sends.retain(|client_id, _| local.keeps_send(*client_id));
        // What was heard and read is told again where it is kept, and need not be where the server has it.
        let server = &self.server.disk.state;
        let user = one.user;
        one.played.retain(|(room, burst)| {
            let stored = server.get(room).is_some_and(|state| state.heard.contains(&(*burst, user)));
            stored || local.keeps_heard(*room, *burst)
        });
        one.read = server.keys().filter_map(|room| Some((*room, local.kept_read(*room)?))).collect();
        let restored: Vec<BurstId> = local
            .unfinished(now)
            .into_iter()
            .filter_map(|item| match item {
                Restored::Burst { header, .. } => Some(header.burst),
                Restored::Send { .. } | Restored::Receipts { .. } => None,
            })
            .collect();
        for (burst, said) in one.said.iter_mut().filter(|(_, said)| matches!(said.done, None | Some("kept"))) {
            let kept = local.frames(*burst);
            said.shortened |= kept.len() < said.frames.len() || !restored.contains(burst);
            said.frames = kept;
            if said.done.is_none() && !restored.contains(burst) {
                said.done = Some("lost with the client");
            }
        }
        self.client_next[client] = None;
        if let Some((_, number)) = self.clients[client].conn.take()
            && let Some(conn) = self.conns.get_mut(&number)
        {
            conn.client_open = false;
            if power {
                conn.half_open = true;
                conn.cut(now);
            } else {
                conn.up.send(now, 40, Wire::Close(None));
            }
        }
        self.server_next = None;
    }
}
