//! Pools of executors on demand: pods of Kubernetes that come when a job needs them, and go with it.
//!
//! [`decision::decide`] says what to do, as a pure function of what jobs need and which pods there are; the loop around it
//! ([`controller`]) looks, decides and asks, again and again, and remembers nothing that it could not see anew: a process
//! that is started again goes on with the pods that it finds, and removes those whose jobs have ended. Names of pods are
//! made of pool, job and number, so that a request that is repeated makes no second pod.
//!
//! Sources: level-triggered controllers (Burns et al., "Borg, Omega, and Kubernetes", ACM Queue 14, 2016); the pools of
//! KubeRay, whose users' trouble is in the tests: pools from zero, no loop of creating and deleting, GPU and CPU work apart.
//!
//! The client ([`api`]) is of the three requests that are needed, on the HTTP client that the archive's stores use: a full
//! client of Kubernetes would change the features of dependencies that the query engine shares. What is absent: which jobs
//! there are and what they wait for, which the caller says ([`Queue`]); watches, because a list of some hundred labelled
//! pods every few seconds costs less than keeping one right. Start at [`decision::decide`].

pub mod api;
pub mod controller;
pub mod decision;
pub mod manifest;
pub mod pod;
pub mod settings;

pub use crate::{
    controller::{Look, Queue, run},
    settings::{Owner, Settings},
};
