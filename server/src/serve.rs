//! The socket, the signals and the end of the service. The model is loaded while the probes already answer.

use std::future::Future;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::app::{AppState, app};
use crate::engine::Engine;
use crate::settings::{ModelSettings, ServeSettings};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the address is taken or the model cannot be opened.
pub fn serve(settings: ServeSettings) -> Result<()> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}", settings.listen))?;
        let address = listener.local_addr().context("the socket has no address")?;
        tracing::info!(%address, "listening");
        let state = AppState::new(settings.setup);
        let loading = load(settings.model, settings.places, state.clone())?;
        let signal = signals(settings.drain)?;
        tokio::spawn(reload(state.clone())?);
        tokio::select! {
            result = run(listener, state, signal, settings.grace) => result,
            failure = failed(loading) => Err(failure),
        }
    });
    // A generation cannot be interrupted; the grace is over, so nobody waits for it.
    runtime.shutdown_background();
    result
}

/// Answers on `listener` until `shutdown` is done and for as long afterwards as it says, then gives running requests `grace` to
/// finish. In between new work gets 503, and so does `/readyz`: a balancer notices while there is still somebody to say so.
///
/// # Errors
/// When the socket fails.
pub async fn run(
    listener: TcpListener,
    state: AppState,
    shutdown: impl Future<Output = Duration> + Send + 'static,
    grace: Duration,
) -> Result<()> {
    let (ending, mut ended) = watch::channel(false);
    let draining = state.clone();
    // Else axum copies all routes for every connection.
    let service = app(state).into_make_service();
    let server = axum::serve(listener, service).with_graceful_shutdown(async move {
        let open = shutdown.await;
        tracing::info!("shutting down");
        draining.drain(open / 2);
        tokio::time::sleep(open).await;
        let _ = ending.send(true); // Only a server that is already gone does not listen.
    });
    let deadline = async {
        // An error means that the server ended by itself; its own branch reports that.
        if ended.wait_for(|&ended| ended).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        result = server => result.context("the socket failed"),
        () = deadline => {
            tracing::warn!(seconds = grace.as_secs(), "left running requests behind");
            Ok(())
        }
    }
}

/// Opens the model on a thread of its own and installs it.
fn load(
    model: ModelSettings,
    places: usize,
    state: AppState,
) -> Result<oneshot::Receiver<anyhow::Error>> {
    let (failure, failures) = oneshot::channel();
    let work = move || {
        let start = Instant::now();
        let opened = model
            .open()
            .map_err(anyhow::Error::new)
            .and_then(|extractor| {
                let info = extractor.info().clone();
                let engine = Engine::start(Arc::new(extractor), places)?;
                engine.warm_up()?;
                state.install(engine);
                Ok(info)
            });
        match opened {
            Ok(info) => {
                let millis = start.elapsed().as_millis();
                tracing::info!(
                    id = info.id,
                    hash = info.hash,
                    dtype = info.dtype,
                    millis,
                    "model loaded"
                );
            }
            Err(error) => {
                let _ = failure.send(error.context("cannot open the model"));
            }
        }
    };
    thread::Builder::new()
        .name("loader".to_owned())
        .spawn(work)
        .context("cannot start a thread")?;
    Ok(failures)
}

/// Resolves when loading failed, and never when it succeeded.
async fn failed(loading: oneshot::Receiver<anyhow::Error>) -> anyhow::Error {
    match loading.await {
        Ok(error) => error,
        Err(_) => std::future::pending().await,
    }
}

/// Reads relations and keys again at every SIGHUP; a file that is unusable changes nothing.
fn reload(state: AppState) -> Result<impl Future<Output = ()> + Send + 'static> {
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen to SIGHUP")?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            match state.reload() {
                Ok(report) => tracing::info!(?report, "read again"),
                Err(error) => tracing::error!(%error, "everything stays as it was"),
            }
        }
    })
}

/// Resolves at the first SIGTERM or SIGINT to how long the door stays open: a person at a terminal does not wait for balancers.
fn signals(drain: Duration) -> Result<impl Future<Output = Duration> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen to SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => drain,
            _ = interrupt.recv() => Duration::ZERO,
        }
    })
}
