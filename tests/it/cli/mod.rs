//! The program as a script sees it: arguments in; data, diagnostics and an exit code out.

mod backup;
mod conflicts;
mod content;
mod disk;
mod distributions;
mod documents;
mod gateway;
mod gateway_alike;
mod gateway_names;
mod gateway_npm;
mod gateway_pages;
mod gateway_pypi;
mod gateway_recorded;
mod gateway_uploads;
mod names;
mod namespaces;
mod network;
mod packing;
mod plain;
mod program;
mod service;
mod settings;
mod setup_npm;
mod sim;
mod usage;
