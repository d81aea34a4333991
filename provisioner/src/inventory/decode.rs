use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use ipnet::Ipv4Net;
use toml::de::DeTable;

use super::backup;
use super::problem::{Lines, Problem};
use super::reader::{Document, Table, nearest};
use super::ssh::{default_ssh, ssh};
use super::{Cluster, Host, Inventory, ProxyMode, Release, Role, SshSettings, Taint};
use crate::bundle::PublicKey;

type Decoded = (Option<Inventory>, Lines, Vec<Problem>);

/// The inventory as far as its fields can be read, with what is wrong with them.
pub fn decode(path: &Path, text: &str) -> Result<Decoded, Vec<Problem>> {
    let mut document = Document::new(text);
    let parsed = DeTable::parse(text).map_err(|error| {
        vec![Problem {
            line: document.line(error.span().map_or(0, |span| span.start)),
            field: String::new(),
            value: String::new(),
            message: format!("is not TOML: {}", error.message().replace('\n', ", ")),
            remedy: "correct the syntax".to_owned(),
        }]
    })?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let document = &mut document;
    let mut root = Table::new("", parsed.get_ref());
    let cluster = match root.table(document, "cluster") {
        Some(table) => cluster(document, table),
        None => {
            document.report(
                1,
                "cluster",
                "",
                "is missing",
                "add a [cluster] table with a name",
            );
            None
        }
    };
    let ssh = match root.table(document, "ssh") {
        Some(table) => ssh(document, table, folder, &default_ssh()),
        None => default_ssh(),
    };
    let release = root
        .table(document, "release")
        .map(|table| release(document, table, folder))
        .unwrap_or_default();
    let backup = root
        .table(document, "backup")
        .and_then(|table| backup::decode(document, table, folder));
    let tables = root.tables(document, "hosts");
    let count = tables.len();
    let hosts: Vec<Host> = tables
        .into_iter()
        .filter_map(|table| host(document, table, folder, &ssh))
        .collect();
    root.finish(document);
    let complete = hosts.len() == count;
    let inventory = cluster.filter(|_| complete).map(|cluster| Inventory {
        path: path.to_owned(),
        cluster,
        ssh,
        release,
        backup,
        hosts,
    });
    Ok((
        inventory,
        std::mem::take(&mut document.lines),
        std::mem::take(&mut document.problems),
    ))
}

fn parsed<T: FromStr>(
    document: &mut Document<'_>,
    field: &str,
    text: Option<String>,
    default: Option<T>,
    message: &str,
    remedy: &str,
) -> Option<T> {
    let Some(text) = text else { return default };
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) => {
            let line = document.lines.of(field);
            document.report(line, field, &text, message, remedy);
            None
        }
    }
}

fn chosen<T: Copy>(
    document: &mut Document<'_>,
    field: &str,
    text: Option<String>,
    choices: &[(T, &'static str)],
    default: T,
) -> Option<T> {
    let Some(text) = text else { return Some(default) };
    if let Some((value, _)) = choices.iter().find(|(_, name)| *name == text) {
        return Some(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(_, name)| *name).collect();
    let line = document.lines.of(field);
    document.report(
        line,
        field,
        &text,
        "is not known",
        &format!("use one of {}", names.join(", ")),
    );
    None
}

fn cluster(document: &mut Document<'_>, mut table: Table<'_, '_>) -> Option<Cluster> {
    const CIDR: &str = "write an IPv4 range, for example 10.200.0.0/16";
    let name = table.required(
        document,
        "name",
        "give the cluster a name, for example name = \"lab\"",
    );
    let pod_cidr = table.string(document, "pod_cidr");
    let service_cidr = table.string(document, "service_cidr");
    let domain = table
        .string(document, "cluster_domain")
        .unwrap_or_else(|| "cluster.local".to_owned());
    let dns_ip = table.string(document, "dns_ip");
    let api_endpoint = table.string(document, "api_endpoint");
    let proxy_mode = table.string(document, "proxy_mode");
    let proxy_mode = chosen(
        document,
        "cluster.proxy_mode",
        proxy_mode,
        &[
            (ProxyMode::Iptables, "iptables"),
            (ProxyMode::Nftables, "nftables"),
        ],
        ProxyMode::Nftables,
    );
    table.finish(document);
    let pod_cidr = parsed(
        document,
        "cluster.pod_cidr",
        pod_cidr,
        "10.200.0.0/16".parse::<Ipv4Net>().ok(),
        "is not an IPv4 CIDR",
        CIDR,
    );
    let service_cidr = parsed(
        document,
        "cluster.service_cidr",
        service_cidr,
        "10.32.0.0/24".parse::<Ipv4Net>().ok(),
        "is not an IPv4 CIDR",
        CIDR,
    );
    // Like upstream's installers: the tenth address.
    let tenth = service_cidr.and_then(|net| net.hosts().nth(9));
    let dns_ip = parsed::<Ipv4Addr>(
        document,
        "cluster.dns_ip",
        dns_ip,
        tenth.or(Some(Ipv4Addr::UNSPECIFIED)),
        "is not an IPv4 address",
        "write an address inside service_cidr, for example 10.32.0.10",
    );
    Some(Cluster {
        name: name?,
        pod_cidr: pod_cidr?,
        service_cidr: service_cidr?,
        cluster_domain: domain,
        dns_ip: dns_ip?,
        api_endpoint,
        proxy_mode: proxy_mode?,
    })
}

fn release(document: &mut Document<'_>, mut table: Table<'_, '_>, folder: &Path) -> Release {
    let binaries = table.string(document, "binaries").map(|text| {
        let path = resolve(folder, &text);
        if !path.is_dir() {
            let line = document.lines.of("release.binaries");
            let remedy =
                "build them with make build, or name the folder that holds kube-apiserver, kubelet, …";
            document.report(line, "release.binaries", &text, "no such folder", remedy);
        }
        path
    });
    let bundle_key = table.string(document, "bundle_key").and_then(|text| {
        let key = PublicKey::parse(&text);
        if let Err(problem) = &key {
            let line = document.lines.of("release.bundle_key");
            let message = format!("is not a minisign public key ({problem})");
            let remedy = "write the line RW… that hardway bundle keygen prints";
            document.report(line, "release.bundle_key", &text, &message, remedy);
        }
        key.ok()
    });
    let relay = table.boolean(document, "relay");
    let confirm_within = table.number(
        document,
        "confirm_within",
        30..=3600,
        "write within how many seconds a host's new generation has to be confirmed, 30 to 3600",
    );
    table.finish(document);
    let unless_written = Release::default();
    Release {
        binaries,
        bundle_key,
        relay: relay.unwrap_or(unless_written.relay),
        confirm_within: confirm_within.map_or(unless_written.confirm_within, |seconds| {
            Duration::from_secs(seconds.into())
        }),
    }
}

fn host(
    document: &mut Document<'_>,
    mut table: Table<'_, '_>,
    folder: &Path,
    over: &SshSettings,
) -> Option<Host> {
    let name = table.required(
        document,
        "name",
        "add name = \"…\": the node's name in the cluster",
    );
    let address_field = table.field("address");
    let address = table.required(
        document,
        "address",
        "add address = \"…\": the IP address of the host",
    );
    let roles_field = table.field("roles");
    let roles = table.strings(document, "roles").unwrap_or_default();
    let labels = table.map(document, "labels").unwrap_or_default();
    let taints_field = table.field("taints");
    let taints = table.strings(document, "taints").unwrap_or_default();
    let host_key = table.string(document, "host_key");
    let own_ssh = table.table(document, "ssh");
    let ssh = match own_ssh {
        Some(own) => ssh(document, own, folder, over),
        None => over.clone(),
    };
    table.finish(document);
    let address: Option<IpAddr> = parsed(
        document,
        &address_field,
        address,
        None,
        "is not an IP address",
        "write the host's address, not its name: certificates and routes need it",
    );
    let roles = self::roles(document, &roles_field, &roles);
    let taints = taints
        .iter()
        .enumerate()
        .filter_map(|(index, text)| {
            let taint = taint(text);
            if taint.is_none() {
                let field = format!("{taints_field}[{index}]");
                let line = document.lines.of(&field);
                let remedy = "write key[=value]:effect with NoSchedule, PreferNoSchedule or NoExecute";
                document.report(line, &field, text, "is not a taint", remedy);
            }
            taint
        })
        .collect();
    Some(Host {
        name: name?,
        address: address?,
        roles: roles?,
        labels,
        taints,
        host_key,
        ssh,
    })
}

fn roles(document: &mut Document<'_>, field: &str, names: &[String]) -> Option<Vec<Role>> {
    let known: Vec<&str> = Role::ALL.iter().map(|(_, name)| *name).collect();
    let mut roles = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if let Some((role, _)) = Role::ALL.iter().find(|(_, known)| known == name) {
            roles.push(*role);
            continue;
        }
        let field = format!("{field}[{index}]");
        let line = document.lines.of(&field);
        let remedy = match nearest(name, &known) {
            Some(known) => format!("did you mean {known:?}?"),
            None => format!("use one of {}", known.join(", ")),
        };
        document.report(line, &field, name, "unknown role", &remedy);
    }
    if names.is_empty() {
        let line = document.lines.of(field);
        document.report(
            line,
            field,
            "",
            "a host needs a role",
            &format!("use one of {}", known.join(", ")),
        );
    }
    (roles.len() == names.len() && !roles.is_empty()).then_some(roles)
}

fn taint(text: &str) -> Option<Taint> {
    let (key, effect) = text.rsplit_once(':')?;
    let (key, value) = key.split_once('=').unwrap_or((key, ""));
    let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect);
    (known && !key.is_empty()).then(|| Taint {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    })
}

/// `~/` is the operator's home; other relative paths start at the inventory's folder.
pub(super) fn resolve(folder: &Path, text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => folder.join(text),
    }
}
