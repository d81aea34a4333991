//! Addresses, links and routes of this network namespace over rtnetlink.

use std::net::IpAddr;

use futures::{StreamExt, TryStreamExt};
use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::LinkAttribute;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{MulticastGroup, RouteMessageBuilder};
use tokio::task::JoinHandle;

/// An address of this host with its prefix, and the interface that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    pub network: IpNet,
    pub interface: u32,
}

/// A unicast route of the main table with one gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    pub destination: IpNet,
    pub gateway: IpAddr,
    pub interface: u32,
}

/// A route of the main table and who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownRoute {
    pub destination: IpNet,
    pub gateway: Option<IpAddr>,
    pub interface: Option<u32>,
    /// The RTPROT_ number.
    pub protocol: u8,
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    #[error("cannot open a netlink socket")]
    Open(#[source] std::io::Error),
    #[error("netlink: cannot {operation}")]
    Request {
        operation: String,
        #[source]
        source: rtnetlink::Error,
    },
}

/// A netlink connection. The kernel's notifications wake [`Routing::changed`].
pub struct Routing {
    handle: rtnetlink::Handle,
    changes: tokio::sync::mpsc::Receiver<()>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Routing {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Routing {
    /// Opens a connection in the calling thread's network namespace.
    pub fn open() -> Result<Routing, RoutingError> {
        let groups = [
            MulticastGroup::Link,
            MulticastGroup::Ipv4Ifaddr,
            MulticastGroup::Ipv6Ifaddr,
            MulticastGroup::Ipv4Route,
            MulticastGroup::Ipv6Route,
        ];
        let (connection, handle, mut messages) =
            rtnetlink::new_multicast_connection(&groups).map_err(RoutingError::Open)?;
        // One waiting note is enough: whoever takes it looks at everything.
        let (sender, changes) = tokio::sync::mpsc::channel(1);
        let notes = async move {
            while messages.next().await.is_some() {
                if sender.try_send(()).is_err() && sender.is_closed() {
                    return;
                }
            }
        };
        Ok(Routing {
            handle,
            changes,
            tasks: [tokio::spawn(connection), tokio::spawn(notes)],
        })
    }

    /// Waits for a change of links, addresses or routes; false when the connection has ended.
    pub async fn changed(&mut self) -> bool {
        self.changes.recv().await.is_some()
    }

    /// All addresses of this host.
    pub async fn addresses(&self) -> Result<Vec<LocalAddress>, RoutingError> {
        let mut found = Vec::new();
        let mut messages = self.handle.address().get().execute();
        while let Some(message) = messages.try_next().await.map_err(request("list addresses"))? {
            // On point-to-point links Local is ours and Address is the peer's.
            let of = |local: bool| {
                message.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Local(address) if local => Some(*address),
                    AddressAttribute::Address(address) if !local => Some(*address),
                    _ => None,
                })
            };
            let network = of(true)
                .or_else(|| of(false))
                .and_then(|address| IpNet::new(address, message.header.prefix_len).ok());
            if let Some(network) = network {
                found.push(LocalAddress {
                    network,
                    interface: message.header.index,
                });
            }
        }
        Ok(found)
    }

    /// MTU of an interface; None when there is no such interface.
    pub async fn mtu(&self, interface: u32) -> Result<Option<u32>, RoutingError> {
        let mut links = self.handle.link().get().match_index(interface).execute();
        let link = links.try_next().await.map_err(request("read a link"))?;
        Ok(link.and_then(|link| {
            link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::Mtu(mtu) => Some(*mtu),
                _ => None,
            })
        }))
    }

    /// All unicast routes of the main table.
    pub async fn routes(&self) -> Result<Vec<KnownRoute>, RoutingError> {
        let mut found = Vec::new();
        let queries = [
            RouteMessageBuilder::<std::net::Ipv4Addr>::new().build(),
            RouteMessageBuilder::<std::net::Ipv6Addr>::new().build(),
        ];
        for query in queries {
            let mut routes = std::pin::pin!(self.handle.route().get(query).execute());
            while let Some(message) = routes.try_next().await.map_err(request("list routes"))? {
                found.extend(known_route(&message));
            }
        }
        Ok(found)
    }

    /// Adds a route, or exchanges the one to the same destination.
    pub async fn replace(&self, route: &Route, protocol: u8) -> Result<(), RoutingError> {
        let sent = self
            .handle
            .route()
            .add(message(route, protocol))
            .replace()
            .execute()
            .await;
        sent.map_err(|source| RoutingError::Request {
            operation: format!("route {} via {}", route.destination, route.gateway),
            source,
        })
    }

    /// Removes a route that was made under `protocol`; one that is gone already is no error.
    pub async fn remove(&self, route: &KnownRoute) -> Result<(), RoutingError> {
        let mut message = RouteMessage::default();
        header(&mut message.header, route.destination, route.protocol);
        message.attributes.push(RouteAttribute::Destination(route_address(
            route.destination.network(),
        )));
        message.attributes.extend(
            route
                .gateway
                .map(|gateway| RouteAttribute::Gateway(route_address(gateway))),
        );
        message
            .attributes
            .extend(route.interface.map(RouteAttribute::Oif));
        match self.handle.route().del(message).execute().await {
            Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -libc::ESRCH => Ok(()),
            Err(source) => Err(RoutingError::Request {
                operation: format!("remove route {}", route.destination),
                source,
            }),
            Ok(()) => Ok(()),
        }
    }
}

fn request(operation: &str) -> impl FnOnce(rtnetlink::Error) -> RoutingError {
    let operation = operation.to_owned();
    move |source| RoutingError::Request { operation, source }
}

fn route_address(address: IpAddr) -> RouteAddress {
    match address {
        IpAddr::V4(address) => RouteAddress::Inet(address),
        IpAddr::V6(address) => RouteAddress::Inet6(address),
    }
}

fn header(header: &mut RouteHeader, destination: IpNet, protocol: u8) {
    header.address_family = match destination {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    header.destination_prefix_length = destination.prefix_len();
    header.table = RouteHeader::RT_TABLE_MAIN;
    header.protocol = RouteProtocol::from(protocol);
    header.scope = RouteScope::Universe;
    header.kind = RouteType::Unicast;
}

fn message(route: &Route, protocol: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    header(&mut message.header, route.destination, protocol);
    message.attributes = vec![
        RouteAttribute::Destination(route_address(route.destination.network())),
        RouteAttribute::Gateway(route_address(route.gateway)),
        RouteAttribute::Oif(route.interface),
    ];
    message
}

fn known_route(message: &RouteMessage) -> Option<KnownRoute> {
    let address = |address: &RouteAddress| match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    };
    if message.header.kind != RouteType::Unicast || message.header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let unspecified = match message.header.address_family {
        AddressFamily::Inet => IpAddr::from([0u8; 4]),
        AddressFamily::Inet6 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let (mut destination, mut gateway, mut interface) = (unspecified, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(value) => destination = address(value)?,
            RouteAttribute::Gateway(value) => gateway = address(value),
            RouteAttribute::Oif(index) => interface = Some(*index),
            _ => {}
        }
    }
    let destination = IpNet::new(destination, message.header.destination_prefix_length).ok()?;
    Some(KnownRoute {
        destination,
        gateway,
        interface,
        protocol: message.header.protocol.into(),
    })
}
