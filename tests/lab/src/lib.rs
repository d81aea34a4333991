//! Hosts on one Linux machine: debootstrap, systemd-nspawn, network namespaces.
