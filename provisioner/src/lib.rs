//! The hardway command: inventory, facts, plan, phases over SSH.
//!
//! Pure: [`inventory`], [`render`], [`plan`], [`preflight`], [`etcd`]. Acting: [`ssh`], [`apply`], [`rollout`], [`api`].

pub mod api;
pub mod apply;
pub mod artifacts;
pub mod backup;
pub mod bootstrap;
pub mod bundle;
pub mod certs;
pub mod cli;
pub mod commands;
pub mod desired;
pub mod drain;
pub mod drift;
pub mod enroll;
pub mod etcd;
pub mod explain;
pub mod facts;
pub mod fleet;
pub mod guard;
pub mod identities;
pub mod image;
pub mod inventory;
pub mod kubeconfig;
pub mod nodes;
pub mod outside;
pub mod plan;
pub mod ports;
pub mod preflight;
pub mod push;
pub mod render;
pub mod rollout;
pub mod rotation;
pub mod s3;
pub mod shell;
pub mod smoke;
pub mod ssh;
pub mod state;
pub mod survey;
pub mod templates;
pub mod ui;
pub mod upgrade;
