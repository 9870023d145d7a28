//! TaskManager and JobManager together: real jobs on threads, with sources, operators and sinks made by hand and
//! everything durable kept in memory, so that it can be made to fail.

mod end_to_end;
mod failures;
mod flow;
mod kit;
mod rescaling;
mod stopping;
