//! `report`: the page of a campaign, as a file, and live in a browser on this machine.

use super::shown;
use crate::cli::ReportArgs;
use crate::output::Output;
use nepal::{Error, Result};
use nepal_loop::campaign::{Campaign, Status};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};
use tiny_http::{Header, Method, Request, Response, Server};

/// Time between two looks at the campaign.
const LOOK: Duration = Duration::from_secs(2);
/// Longest wait for a request before the next look whether to stop.
const NAP: Duration = Duration::from_millis(200);

/// In the head, or browsers ask for one that is not there.
const ICON: &str = "<link rel=\"icon\" href=\"data:,\">";
/// What a served page has besides: it tells what is going on, and is loaded anew when a step is done.
const LIVE: &str = r#"<p id="live" class="live" role="status"></p><script>
(() => {
  const line = document.getElementById("live");
  let known;
  async function look() {
    try {
      const state = await (await fetch("state")).json();
      line.textContent = state.now;
      if (known !== undefined && state.version !== known) location.reload();
      known = state.version;
    } catch { line.textContent = "The report is served no longer."; }
  }
  look();
  if (WATCH) setInterval(look, 2000);
})();
</script></main>"#;

/// Writes the report of a campaign as far as it is; serves it, and writes it again as the campaign goes on.
pub fn run(args: &ReportArgs, output: &mut dyn Output) -> Result<ExitCode> {
    let campaign = Campaign::load(&args.campaign, super::stop_flag().into())?;
    if let Some(port) = args.serve {
        return serve(&campaign, port, args.watch, output);
    }
    let stop = super::stop_flag();
    let mut seen = None;
    loop {
        let version = version(&campaign);
        if seen != Some(version) {
            let path = match (campaign.write_report(), args.watch) {
                (Ok(path), _) => Some(path),
                // What is watched may have to be trained first.
                (Err(Error::Failed(_)), true) => None,
                (Err(error), _) => return Err(error),
            };
            if let Some(path) = path {
                let text = path.display().to_string();
                output.result("report", &text, json!({ "report": shown(&path) }));
            }
            seen = Some(version);
        }
        if !args.watch || campaign.status()?.ended.is_some() || stop.load(Ordering::Relaxed) {
            return Ok(ExitCode::SUCCESS);
        }
        let next = Instant::now() + LOOK;
        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(NAP);
        }
    }
}

/// Changes with every step that is done.
fn version(campaign: &Campaign) -> u64 {
    let ends = ["journal.jsonl", "final/outcome.json"].map(|name| {
        let there = std::fs::metadata(campaign.directory().join(name));
        there.map_or(0, |m| {
            let changed = m.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let since = changed.duration_since(SystemTime::UNIX_EPOCH);
            m.len() ^ since.map_or(0, |d| d.as_millis() as u64)
        })
    });
    ends[0].rotate_left(1) ^ ends[1]
}

/// Answers browsers of this machine that know the token, until Ctrl-C.
fn serve(campaign: &Campaign, port: u16, watch: bool, output: &mut dyn Output) -> Result<ExitCode> {
    let failed = |e| {
        Error::Failed(format!(
            "cannot serve at 127.0.0.1:{port}: {e}; try another port with --serve=PORT"
        ))
    };
    let server = Server::http(("127.0.0.1", port)).map_err(failed)?;
    let port = server.server_addr().to_ip().map_or(port, |a| a.port());
    let token = format!("{:032x}", rand::random::<u128>());
    let url = format!("http://127.0.0.1:{port}/{token}/");
    output.result("serving", &url, json!({ "url": url }));
    let stop = super::stop_flag();
    let mut served = Page::default();
    while !stop.load(Ordering::Relaxed) {
        let request = match server.recv_timeout(NAP) {
            Ok(Some(request)) => request,
            Ok(None) => continue,
            Err(e) => return Err(Error::Failed(format!("cannot serve: {e}"))),
        };
        let (status, kind, body) = answer(
            campaign,
            &request,
            &format!("/{token}/"),
            watch,
            &mut served,
        );
        // A browser that went away is no trouble.
        let _ = request.respond(response(status, kind, body));
    }
    Ok(ExitCode::SUCCESS)
}

/// The page that was written last.
#[derive(Default)]
struct Page {
    version: Option<u64>,
    html: String,
}

type Answer = (u16, &'static str, Vec<u8>);

fn answer(
    campaign: &Campaign,
    request: &Request,
    prefix: &str,
    watch: bool,
    served: &mut Page,
) -> Answer {
    let text = |status, text: &str| (status, "text/plain", text.as_bytes().to_vec());
    // Another name for this machine would be another site's.
    let host = request.headers().iter().find(|h| h.field.equiv("Host"));
    let host = host.map_or("", |h| h.value.as_str());
    let own = ["127.0.0.1", "localhost"].contains(&host.rsplit_once(':').map_or(host, |h| h.0));
    let path = request.url().split(['?', '#']).next().unwrap_or_default();
    let Some(path) = path.strip_prefix(prefix).filter(|_| own) else {
        return text(
            404,
            "nothing here: the address that was printed has a token",
        );
    };
    if *request.method() != Method::Get {
        return text(405, "this server only answers GET");
    }
    match path {
        "" => {
            let version = version(campaign);
            if served.version != Some(version) {
                match campaign.write_report().and_then(|path| {
                    std::fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))
                }) {
                    Ok(html) => {
                        *served = Page {
                            version: Some(version),
                            html,
                        }
                    }
                    Err(error) => {
                        served.version = None;
                        let text = error.to_string().replace('&', "&amp;").replace('<', "&lt;");
                        served.html = format!(
                            "<!DOCTYPE html><html lang=\"en\"><title>nepal</title><main><p>{text}</p></main></html>"
                        );
                    }
                }
            }
            let live = LIVE.replace("WATCH", if watch { "true" } else { "false" });
            (
                200,
                "text/html",
                served
                    .html
                    .replacen("<title>", &format!("{ICON}<title>"), 1)
                    .replacen("</main>", &live, 1)
                    .into_bytes(),
            )
        }
        "state" => {
            let now = campaign
                .status()
                .map_or_else(|e| e.to_string(), |s| now(&s));
            let state = json!({ "version": version(campaign).to_string(), "now": now });
            (200, "application/json", state.to_string().into_bytes())
        }
        path => match file(campaign.directory(), path) {
            Some(body) if path.ends_with(".svg") => (200, "image/svg+xml", body),
            Some(body) => (200, "text/plain", body),
            None => text(404, "no such file in the campaign's folder"),
        },
    }
}

/// A file of the campaign's folder; nothing beyond it.
fn file(folder: &Path, path: &str) -> Option<Vec<u8>> {
    let folder = folder.canonicalize().ok()?;
    let path = folder.join(path).canonicalize().ok()?;
    (path.starts_with(&folder) && path.is_file()).then(|| std::fs::read(path).ok())?
}

/// What is going on, in a line.
fn now(status: &Status) -> String {
    match (&status.live, &status.ended) {
        (Some(live), _) if status.running => {
            let count = match live.total {
                0 => String::new(),
                total => format!(": {} {}/{total}", live.what, live.done),
            };
            format!(
                "Now: round {}, {}{count} {}",
                live.round, live.step, live.detail
            )
        }
        (_, Some(_)) => "The campaign has ended.".into(),
        _ => "No driver is at work.".into(),
    }
}

fn response(status: u16, kind: &str, body: Vec<u8>) -> Response<std::io::Cursor<Vec<u8>>> {
    let mut response = Response::from_data(body).with_status_code(status);
    for (name, value) in [
        ("Content-Type", format!("{kind}; charset=utf-8").as_str()),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        (
            "Content-Security-Policy",
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ] {
        if let Ok(header) = Header::from_bytes(name, value) {
            response.add_header(header);
        }
    }
    response
}
