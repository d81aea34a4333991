//! What a bootstrap and a join cost with 10, 50 and 100 hosts: seconds, bytes, the operator's CPU.
//!
//! Runs as root. The hosts are hollow (see the lab's `hollow` module): sshd, shell, files, hashes and users are real,
//! their units only listen. All of them share this machine's cores.

use e2e::scale::{Run, Swarm};

const MEGABYTE: f64 = 1e6;

fn main() {
    let sizes: Vec<usize> = std::env::args()
        .skip(1)
        .map(|text| text.parse().expect("a number of hosts"))
        .collect();
    let sizes = if sizes.is_empty() {
        vec![10, 50, 100]
    } else {
        sizes
    };
    println!(
        "{:>5} {:>8} {:>8} {:>9} {:>8} {:>7} {:>7} | {:>9} {:>9} {:>7} | {:>7} {:>8} {:>9}",
        "hosts",
        "facts s",
        "plan s",
        "compr. s",
        "push s",
        "rest s",
        "all s",
        "uplink MB",
        "betw. MB",
        "direct",
        "cpu s",
        "no-op s",
        "join s"
    );
    for size in sizes {
        measure(size);
    }
}

fn measure(size: usize) {
    let swarm = Swarm::up(&format!("bench-{size}"), size);
    let first = swarm.hardway(&["bootstrap"]);
    let again = swarm.hardway(&["bootstrap"]);
    let before = swarm.traces();
    swarm.announce();
    let join = swarm.hardway(&["node", "join", &swarm.newcomer()]);
    let touched: Vec<String> = swarm
        .traces()
        .into_iter()
        .filter(|(host, trace)| before[host] != *trace)
        .map(|(host, _)| host)
        .collect();
    let push = ["compress", "push and switch"];
    let named = ["facts", "plan", "compress", "push and switch"];
    let traffic = first.traffic(&push);
    println!(
        "{size:>5} {:>8.2} {:>8.2} {:>9.2} {:>8.2} {:>7.2} {:>7.2} | {:>9.1} {:>9.1} {:>7} | {:>7.2} {:>8.2} {:>9.2}",
        first.seconds(&["facts"]),
        first.seconds(&["plan"]),
        first.seconds(&["compress"]),
        first.seconds(&["push and switch"]),
        first.seconds(&[]) - first.seconds(&named),
        first.seconds(&[]),
        traffic.up as f64 / MEGABYTE,
        traffic.between as f64 / MEGABYTE,
        first.uploads.len(),
        first.cpu_seconds,
        again.seconds(&[]),
        join.seconds(&[]),
    );
    report("bootstrap", &first);
    report("again", &again);
    report("join", &join);
    println!(
        "      host {} joined: {:.1} MB over the uplink; of the other {size} hosts touched: {}",
        size + 1,
        join.traffic(&[]).up as f64 / MEGABYTE,
        if touched.is_empty() {
            "none (no login, no call, no file)".to_owned()
        } else {
            touched.join(", ")
        }
    );
}

fn report(what: &str, run: &Run) {
    let phases: Vec<String> = run
        .phases
        .iter()
        .map(|phase| format!("{} {:.2}", phase.name, phase.seconds))
        .collect();
    println!("      {what}: {}", phases.join(", "));
    for note in run
        .notes
        .iter()
        .filter(|note| note.contains("could not pass on") || note.contains("cannot pass on"))
    {
        println!("      {note}");
    }
}
