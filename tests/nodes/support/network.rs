//! Hosts of their own: network namespaces that are joined by a switch whose cables can be pulled.
//!
//! Needs Debian's iproute2 and root. The switch is a namespace, too, so that none of this can
//! be seen outside, and everything is gone when the namespaces are.

use std::fs::File;
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::support::process::CHORD;
use chord::Addr;

/// Some hosts and their switch, removed when it is dropped.
pub struct Network {
    switch: String,
    hosts: Vec<String>,
}

/// The switch can be split: a host is at one of these halves.
const BRIDGES: [&str; 2] = ["left", "right"];

/// The directory with the names of namespaces.
const NAMES: &str = "/run/netns";

impl Network {
    /// Hosts that reach each other; an error gives the reason why there can't be any.
    pub fn new(n: usize) -> Result<Network, String> {
        // Another run of the tests at the same time has another process number, and so other names.
        let name = |what: String| format!("chord-{}-{what}", std::process::id());
        let mut network = Network { switch: name("switch".into()), hosts: Vec::new() };
        ip(&format!("netns add {}", network.switch))?;
        network.at_switch(&BRIDGES.map(|bridge| format!("link add {bridge} type bridge")).join("\n"))?;
        network.at_switch(&BRIDGES.map(|bridge| format!("link set {bridge} up")).join("\n"))?;
        for host in 0..n {
            let (name, address) = (name(host.to_string()), Network::address(host));
            ip(&format!("netns add {name}"))?;
            network.hosts.push(name.clone());
            network.at_switch(&format!("link add {} type veth peer name eth0 netns {name}", port(host)))?;
            network.connect(&[host], 0)?;
            network.plug(host)?;
            ip(&format!("-n {name} addr add {}/24 dev eth0", address.ip()))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} link set eth0 up"))?;
        }
        Ok(network)
    }

    /// The address at which the node of a host listens.
    pub fn address(host: usize) -> Addr {
        Addr::new(Ipv4Addr::new(10, 77, 0, host as u8 + 1), 4170)
    }

    /// A command that runs `chord` on a host.
    pub fn chord(&self, host: usize) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.hosts[host], CHORD]);
        command
    }

    /// Runs `act` in the network of a host.
    pub fn within<T: Send>(&self, host: usize, act: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let there = scope.spawn(|| {
                self.enter(host);
                act()
            });
            there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves this thread to a host, for good.
    pub fn enter(&self, host: usize) {
        let namespace = File::open(format!("{NAMES}/{}", self.hosts[host])).expect("the host is there");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).expect("it can be entered");
    }

    /// Connects hosts to one of the two halves of the switch, which do not reach each other.
    pub fn connect(&self, hosts: &[usize], half: usize) -> Result<(), String> {
        let each = |host: &usize| format!("link set {} master {}\n", port(*host), BRIDGES[half]);
        self.at_switch(&hosts.iter().map(each).collect::<String>())
    }

    /// From now on a host reaches only those that are not isolated.
    pub fn isolate(&self, host: usize) -> Result<(), String> {
        self.at_switch(&format!("link set {} type bridge_slave isolated on", port(host)))
    }

    /// Pulls the cable of a host.
    pub fn pull(&self, host: usize) -> Result<(), String> {
        self.at_switch(&format!("link set {} down", port(host)))
    }

    /// Puts the cable of a host in.
    pub fn plug(&self, host: usize) -> Result<(), String> {
        self.at_switch(&format!("link set {} up", port(host)))
    }

    /// Has the cables lose and delay packets from now on; returns a description.
    ///
    /// Without netem in the kernel this works as follows: packets of each connection whose number ends in
    /// certain bits go to a class that takes no packet of their size, and are lost; the others share a narrow cable,
    /// so that they wait for each other.
    pub fn spoil(&self) -> Result<&'static str, String> {
        let netem = |host| format!("qdisc add dev {} root netem delay 20ms 10ms loss 3%\n", port(host));
        let narrow = |host| {
            let port = port(host);
            format!(
                "qdisc add dev {port} root handle 1: htb default 10\n\
                 class add dev {port} parent 1: classid 1:10 htb rate 1mbit quantum 1514\n\
                 qdisc add dev {port} parent 1:10 handle 10: pfifo limit 30\n\
                 class add dev {port} parent 1: classid 1:20 htb rate 1mbit quantum 1514\n\
                 qdisc add dev {port} parent 1:20 handle 20: tbf rate 8kbit burst 32 limit 32\n\
                 filter add dev {port} parent 1: protocol ip u32 match u16 0x0003 0x001f at 4 flowid 1:20\n"
            )
        };
        let every = |how: &dyn Fn(usize) -> String| (0..self.hosts.len()).map(how).collect::<String>();
        let tc = |batch: &str| run("tc", &["-n", &self.switch, "-batch", "-"], batch);
        if tc(&netem(0)).is_ok() {
            tc(&(1..self.hosts.len()).map(netem).collect::<String>())?;
            return Ok("netem: 3 % of the packets lost, the others 10 to 30 ms late");
        }
        tc(&every(&narrow))?;
        Ok("no netem in this kernel: each 32nd packet of a connection lost, the others through 1 Mbit/s")
    }

    /// Ends the loss and delay.
    pub fn mend(&self) -> Result<(), String> {
        let every: String = (0..self.hosts.len()).map(|host| format!("qdisc del dev {} root\n", port(host))).collect();
        run("tc", &["-n", &self.switch, "-batch", "-"], &every)
    }

    /// How many packets the cables have lost since `spoil`.
    pub fn lost(&self) -> u64 {
        let shown = Command::new("tc").args(["-n", &self.switch, "-s", "qdisc", "show"]).output().expect("tc runs");
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        // The root counts the losses of its classes.
        let roots = text.split("qdisc ").filter(|qdisc| qdisc.contains(" root "));
        let dropped = roots.filter_map(|qdisc| qdisc.split("(dropped ").nth(1)?.split(',').next()?.parse::<u64>().ok());
        dropped.sum()
    }

    fn at_switch(&self, commands: &str) -> Result<(), String> {
        run("ip", &["-n", &self.switch, "-batch", "-"], commands)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.hosts.iter().chain([&self.switch]) {
            // An error means that the namespace was not made.
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

/// A host's port at the switch.
fn port(host: usize) -> String {
    format!("port{host}")
}

fn ip(command: &str) -> Result<(), String> {
    run("ip", &command.split(' ').collect::<Vec<_>>(), "")
}

/// Runs a command with this input.
fn run(program: &str, args: &[&str], input: &str) -> Result<(), String> {
    let why = |error| format!("{program} {}: {error}", args.join(" "));
    let mut command = Command::new(program);
    let pipes = command.args(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = pipes.spawn().map_err(|error| why(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // An error means that the command has ended; its status gives the reason.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| why(error.to_string()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(why(errors.trim().to_string())) }
}
