//! stub
use crate::{bus::Batch, registry::Registry, Result};
use std::{future::Future, sync::Arc};
use tokio::sync::mpsc;
pub struct Backend { pub registry: Arc<dyn Registry>, pub events: mpsc::Receiver<Batch> }
pub struct Options { pub colour: bool, pub title: String, pub demo: bool }
pub fn check_terminal() -> Result<()> { Err(crate::RegistryError::Usage("no".into())) }
pub async fn run(_starting: impl Future<Output = Result<Backend>> + Send + 'static, _options: Options) -> Result<()> { Ok(()) }
