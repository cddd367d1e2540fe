//! The terminal while the ring is shown: another screen, no echo, keys at once. It is as it was before on every way out.

use std::future::pending;
use std::io::{self, IsTerminal, Read, Write, stdin, stdout};
use std::mem::take;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;
use std::{panic, thread};

use chord::console::streams::{input, output};
use chord::console::terminal::{await_foreground, in_foreground};
use ratatui_core::terminal::Terminal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::ansi::Ansi;
use super::keys::{Key, is_whole, keys};

/// The alternate screen, without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[2J\x1b[?25l";
const LEAVE: &str = "\x1b[0m\x1b[?25h\x1b[?1049l";

/// The modes of the terminal before the ring was shown there; none while it is not. A panic restores them, too: in a
/// release build it ends the program without dropping anything.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// The ring is shown on the terminal until this is dropped.
pub struct Screen {
    terminal: Terminal<Ansi>,
}

impl Screen {
    pub fn open(colours: bool) -> io::Result<Screen> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |why| {
                restore();
                usual(why);
            }));
        });
        let screen = Screen { terminal: Terminal::new(Ansi::new(colours))? };
        enter()?;
        Ok(screen)
    }

    pub fn terminal(&mut self) -> &mut Terminal<Ansi> {
        &mut self.terminal
    }

    /// Shows the ring again, after [`restore`].
    pub fn reopen(&mut self) -> io::Result<()> {
        enter()?;
        self.terminal.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn enter() -> io::Result<()> {
    let before = tcgetattr(stdout())?;
    let mut raw = before.clone();
    raw.make_raw();
    *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
    tcsetattr(stdout(), OptionalActions::Now, &raw)?;
    output().write_all(ENTER.as_bytes())
}

/// Makes the terminal what it was, if the ring is shown there.
pub fn restore() {
    if let Some(before) = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        // Errors mean that the terminal is gone.
        let _ = output().write_all(LEAVE.as_bytes());
        let _ = tcsetattr(stdout(), OptionalActions::Now, &before);
    }
}

/// Whether the ring can be shown: on a terminal that this process may use.
pub fn is_usable() -> bool {
    stdout().is_terminal() && in_foreground()
}

/// The rest of a sequence that a slow line has cut follows within this time.
const REST: Duration = Duration::from_millis(50);

/// No key has a longer sequence, in bytes: what goes on is none.
const LONGEST: usize = 32;

/// The keys that are pressed; none if standard input is no terminal.
pub struct Keyboard {
    typed: Option<mpsc::Receiver<Vec<u8>>>,
    /// The beginning of a sequence, perhaps.
    begun: Vec<u8>,
    /// When it is taken for the whole: also if `next` is dropped and called again meanwhile, at each news of the ring.
    until: Instant,
}

/// What is typed faster than it is read waits in the terminal.
const AHEAD: usize = 16;

impl Keyboard {
    pub fn open() -> io::Result<Keyboard> {
        if !stdin().is_terminal() {
            return Ok(Keyboard::of(None));
        }
        let (tell, typed) = mpsc::channel(AHEAD);
        // A read that has begun can't be cancelled: it has a thread, which ends with the program.
        thread::Builder::new().name("keys".into()).spawn(move || {
            while let Ok(bytes) = read()
                && tell.blocking_send(bytes).is_ok()
            {}
        })?;
        Ok(Keyboard::of(Some(typed)))
    }

    fn of(typed: Option<mpsc::Receiver<Vec<u8>>>) -> Keyboard {
        Keyboard { typed, begun: Vec::new(), until: Instant::now() }
    }

    /// The next keys; nothing is lost if this is dropped before it ends. An error means that the terminal is gone.
    pub async fn next(&mut self) -> io::Result<Vec<Key>> {
        let Some(typed) = &mut self.typed else { return pending().await };
        while self.begun.is_empty() || !is_whole(&self.begun) && self.begun.len() < LONGEST {
            let more = match self.begun.is_empty() {
                true => Ok(typed.recv().await),
                false => timeout_at(self.until, typed.recv()).await,
            };
            match more {
                Ok(Some(more)) => {
                    self.begun.extend(more);
                    self.until = Instant::now() + REST;
                }
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(_) => break,
            }
        }
        Ok(keys(&take(&mut self.begun)))
    }
}

/// Waits for what is typed. In the background that is for others, and a read is an error.
fn read() -> io::Result<Vec<u8>> {
    let mut buffer = [0; 256];
    loop {
        await_foreground();
        match input().read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => return Ok(buffer[..n].to_vec()),
            Err(_) if !in_foreground() => {}
            Err(why) => return Err(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{interval, pause};

    use super::*;

    /// Esc begins sequences, too, so that it is waited for more; each news of the ring began that wait anew.
    #[tokio::test]
    async fn escape_is_heard_however_often_news_comes() {
        pause();
        let (tell, typed) = mpsc::channel(1);
        tell.send(vec![0x1b]).await.unwrap();
        let (mut keyboard, mut news) = (Keyboard::of(Some(typed)), interval(REST / 3));
        for _ in 0..10 {
            tokio::select! {
                keys = keyboard.next() => return assert_eq!(keys.unwrap(), [Key::Escape]),
                _ = news.tick() => {}
            }
        }
        panic!("not heard");
    }

    /// Digits after the beginning of a sequence were kept for as long as more of them came, and the key after them was lost.
    #[tokio::test]
    async fn sequence_without_end_is_no_key_and_is_not_kept() {
        let (tell, typed) = mpsc::channel(2 * LONGEST);
        tell.send(b"\x1b[".to_vec()).await.unwrap();
        for _ in 0..LONGEST {
            tell.send(vec![b'1']).await.unwrap();
        }
        tell.send(vec![b'q']).await.unwrap();
        drop(tell);
        let mut keyboard = Keyboard::of(Some(typed));
        assert_eq!(keyboard.next().await.unwrap(), []);
        while keyboard.next().await.expect("it is heard") != [Key::Quit] {}
    }
}
