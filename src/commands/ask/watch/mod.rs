//! `chord watch`: a running ring on a terminal, as it changes.
//!
//! [`sources`] walk, check and probe the ring; [`model`] is what they make known, [`render`] draws it, and [`lines`] says
//! it in JSON.

mod ansi;
mod circle;
mod events;
mod figures;
mod keys;
mod lines;
mod member;
mod model;
mod rates;
mod render;
mod sources;
mod terminal;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, stdout};
use std::time::Duration;

use chord::Addr;
use chord::client::walk::{Reports, walk};
use chord::console::streams::complain;
use chord::console::terminal::{ignores_hangup, in_foreground, suspend};
use futures::future::{OptionFuture, pending};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::events::What;
use self::lines::Lines;
use self::model::{News, Watch, Wish};
use self::sources::{Setting, Sources};
use self::terminal::{Keyboard, Screen, is_usable, restore};
use super::{Failure, reach};
use crate::cli::ask;
use crate::commands::progress::Progress;

/// The screen shows how much time has passed, and the latest lookups.
const DRAWS_EVERY: Duration = Duration::from_millis(250);

pub(super) async fn run(args: &ask::Watch) -> Result<u8, Failure> {
    if !args.common.json && !is_usable() {
        let why =
            if stdout().is_terminal() { "this job is in the background" } else { "standard output is no terminal" };
        complain(format_args!("chord: {why}: there the ring is shown as lines of JSON with --json"));
        return Ok(2);
    }
    let (client, addr) = reach(&args.common).await?;
    let began = Instant::now();
    let progress = Progress::of(1, "nodes are visited");
    let walked = walk(&client, &[addr], Reports::All, |done, known| progress.at(done, known)).await;
    progress.end();
    let walk = walked?;
    let others = args.common.at.iter().filter_map(|seed| seed.addr()).filter(|other| *other != addr);
    let asked: Vec<Addr> = std::iter::once(addr).chain(others).collect();
    let setting = Setting { asked, patience: args.common.timeout, every: args.every, began };
    let watching = Watching {
        sources: Sources::start(client, setting, &walk),
        watch: Watch::new(addr),
        began,
        until: args.seconds.map(|seconds| began + Duration::from_secs(seconds)),
    };
    let first = News::Walked { began: Duration::ZERO, through: addr, walk };
    let signals = Signals::listen().map_err(unwritten)?;
    match args.common.json {
        true => watching.print(first, args.every, signals).await,
        false => watching.show(first, signals).await.map_err(unwritten),
    }?;
    Ok(0)
}

fn unwritten(why: io::Error) -> Failure {
    Failure::Unwritten(format!("can't show the ring on this terminal: {why}"))
}

struct Watching {
    sources: Sources,
    watch: Watch,
    began: Instant,
    until: Option<Instant>,
}

impl Watching {
    fn learn(&mut self, news: News) -> Vec<What> {
        let happened = self.watch.learn(self.began.elapsed(), news);
        if happened.iter().any(What::is_change) {
            self.sources.check();
        }
        happened
    }

    /// Prints lines of JSON: figures at intervals, and events when they are seen.
    async fn print(mut self, first: News, every: Duration, mut signals: Signals) -> Result<(), Failure> {
        let mut due = interval(every);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let lines = Lines::begin();
        lines.events(self.watch.now, &self.learn(first))?;
        loop {
            tokio::select! {
                news = self.sources.next() => {
                    let happened = self.learn(news);
                    lines.events(self.watch.now, &happened)?;
                }
                _ = due.tick() => {
                    self.watch.pass(self.began.elapsed());
                    lines.figures(&self.watch)?;
                }
                () = signals.end(self.until) => return Ok(()),
            }
        }
    }

    /// Shows the ring on the terminal.
    async fn show(mut self, first: News, mut signals: Signals) -> io::Result<()> {
        let mut keyboard = Keyboard::open()?;
        let mut resized = signal(SignalKind::window_change())?;
        let mut due = interval(DRAWS_EVERY);
        due.set_missed_tick_behavior(MissedTickBehavior::Skip);
        // As in other programs, whatever it is set to (https://no-color.org).
        let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        self.learn(first);
        let mut screen = Screen::open(colours)?;
        let mut is_shown = true;
        loop {
            if is_shown {
                self.draw(&mut screen)?;
            }
            tokio::select! {
                news = self.sources.next() => drop(self.learn(news)),
                keys = keyboard.next(), if is_shown => {
                    for wish in keys?.into_iter().filter_map(|key| self.watch.press(key)).collect::<Vec<_>>() {
                        match wish {
                            Wish::Quit => return Ok(()),
                            Wish::Check => self.sources.check(),
                            Wish::Suspend => {
                                restore();
                                suspend();
                                is_shown = false;
                            }
                        }
                    }
                }
                _ = due.tick() => {
                    if !is_shown && in_foreground() {
                        screen.reopen()?;
                        is_shown = true;
                    }
                }
                _ = resized.recv() => {}
                () = signals.end(self.until) => return Ok(()),
            }
        }
    }

    fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        self.watch.pass(self.began.elapsed());
        let terminal = screen.terminal();
        terminal.autoresize()?;
        let area = terminal.get_frame().area();
        self.watch.fit(render::rows(area));
        terminal.draw(|frame| render::render(frame, &self.watch))?;
        Ok(())
    }
}

/// The signals that end the watch as asked.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None under nohup.
    hangup: Option<Signal>,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        let hangup = (!ignores_hangup()).then(|| signal(SignalKind::hangup())).transpose()?;
        Ok(Signals { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())?, hangup })
    }

    /// Waits for one of them, or for this time.
    async fn end(&mut self, until: Option<Instant>) {
        let late = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            Some(_) = OptionFuture::from(self.hangup.as_mut().map(|hangup| hangup.recv())) => {}
            () = late => {}
        }
    }
}
