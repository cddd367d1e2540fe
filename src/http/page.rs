//! The page that shows the ring, and its parts: compiled in, so that nothing has to be installed beside the program.

use bytes::Bytes;
use hyper::StatusCode;

use super::Feed;
use super::answer::{Answer, JSON, whole};

const INDEX: &str = include_str!("page/index.html");

/// In the page, which feed it begins with.
const LIVE: &str = r#"data-feed="live""#;
const RECORDING: &str = r#"data-feed="recording""#;

/// The other parts: path, type, content.
const PARTS: &[(&str, &str, &str)] = &[
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/draw.js", SCRIPT, include_str!("page/draw.js")),
    ("/feed.js", SCRIPT, include_str!("page/feed.js")),
    ("/lookups.js", SCRIPT, include_str!("page/lookups.js")),
    ("/model.js", SCRIPT, include_str!("page/model.js")),
    ("/panels.js", SCRIPT, include_str!("page/panels.js")),
    ("/ring.js", SCRIPT, include_str!("page/ring.js")),
    ("/svg.js", SCRIPT, include_str!("page/svg.js")),
    ("/api/v1/openapi.json", JSON, include_str!("../../docs/openapi.json")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The part of the page at this path.
pub(super) fn part(path: &str, feed: &Feed) -> Option<Answer> {
    let found = match (path, feed) {
        ("/", Feed::Live) => ("text/html; charset=utf-8", Bytes::from_static(INDEX.as_bytes())),
        ("/", Feed::Recording(_)) => ("text/html; charset=utf-8", INDEX.replace(LIVE, RECORDING).into()),
        ("/recording", Feed::Recording(text)) => ("application/jsonl; charset=utf-8", text.clone()),
        _ => {
            let (_, kind, content) = PARTS.iter().find(|(at, ..)| *at == path)?;
            (*kind, Bytes::from_static(content.as_bytes()))
        }
    };
    Some(whole(StatusCode::OK, found.0, found.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_the_page_loads_is_served_and_everything_else_is_not_there() {
        let from = |text: &str, begin: &str| -> Vec<String> {
            let rest = text.split(begin).skip(1);
            rest.map(|rest| format!("/{}", rest.split('"').next().unwrap_or_default())).collect()
        };
        let scripts = PARTS.iter().filter(|(path, ..)| path.ends_with(".js"));
        let mut loaded: Vec<_> = scripts.flat_map(|(_, _, text)| from(text, "from \"./")).collect();
        loaded.extend([from(INDEX, "src=\""), from(INDEX, "href=\"")].concat());
        loaded.retain(|path| path != "/data:,");
        loaded.sort();
        loaded.dedup();
        let mut served: Vec<_> = PARTS.iter().map(|(path, ..)| path.to_string()).collect();
        served.retain(|path| !path.starts_with("/api/"));
        served.sort();
        assert_eq!(loaded, served);
    }

    #[test]
    fn page_says_once_which_feed_it_begins_with() {
        assert_eq!(INDEX.matches(LIVE).count(), 1);
    }
}
