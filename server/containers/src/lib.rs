//! # leitstand-containers
//!
//! Isolated runtimes on request, with an SSH login; compatible with Anweddol's clients.
//!
//! ## Terms
//! *Container*: one isolated runtime, named by a UUID. *Profile*: what it can be: files, limits, command. *Client
//! token*: proves ownership of one container. *Access token*: permits use of the service. *Guest*: a running container
//! as its backend sees it. *Endpoint*: the SSH port of a container, ended in this process. *Permit*: one of the places.
//!
//! ## Code map
//! | Module | What |
//! |---|---|
//! | [`config`] | the section of the file, checked |
//! | [`wire`] | the classic protocol, sans-IO |
//! | [`tcp`] | its listener |
//! | [`verbs`], [`facts`] | what a request does; what happens, with handlers |
//! | [`engine`] | all containers: create, watch, end, reconcile |
//! | [`admission`], [`ledger`] | places; what is on disk |
//! | [`backend`], [`ns`] | the trait and the mock; namespaces of this kernel |
//! | [`ssh`] | the endpoint, file copy |
//! | [`import`] | the original's YAML and access tokens |
//! | [`job`] | a sandboxed command for other services |
//! | [`profile`], [`id`], [`ip_filter`] | images, names and secrets, who may connect |
//! | `service`, `api`, `view` | the instance, the routes, the JSON |
//!
//! Entry: [`Containers::new`], then [`Containers::instance`] for the supervisor.
//!
//! ## Deliberately absent
//! Docker and libvirt, an sshd inside, root inside, a way from a container to the network.

pub mod admission;
mod api;
pub mod backend;
pub mod config;
pub mod engine;
pub mod facts;
pub mod id;
pub mod import;
pub mod ip_filter;
pub mod job;
pub mod ledger;
pub mod ns;
pub mod profile;
mod service;
pub mod ssh;
pub mod tcp;
mod terminal;
#[cfg(test)]
pub(crate) mod tests;
pub mod verbs;
pub mod view;
mod web;
pub mod wire;

pub use config::{ContainersSection, Settings};
pub use service::Containers;

/// Name of the service: URL prefix, section of the configuration, name in events and health.
pub const SERVICE: &str = "containers";
