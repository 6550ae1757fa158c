//! What an answer counts as, response by response.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use crate::domain::bounds::Bounds;
use crate::domain::scope::Preset;
use crate::gateway::imap::tests::House;
use crate::registry::GrantTerms;

const HOUR: i64 = 3_600_000;

/// A session with a folder open, and its upstream.
struct Scene {
    house: House,
    tool: BufReader<DuplexStream>,
    upstream: BufReader<DuplexStream>,
}

impl Scene {
    async fn with(budgets: &str) -> Self {
        let bounds = Bounds { budgets: Some(serde_json::from_str(budgets).unwrap()), ..Bounds::default() };
        let house = House::granting(GrantTerms { bounds, ..GrantTerms::of(Preset::Backup.scopes()) }).await;
        let (tool, upstream, _) = house.session().await;
        let mut scene = Self { house, tool: BufReader::new(tool), upstream: BufReader::new(upstream) };
        let tag = scene.command("a EXAMINE INBOX").await;
        scene.say(&format!("{tag} OK opened\r\n")).await;
        assert_eq!(scene.heard(1).await, ["a OK opened"]);
        scene
    }

    /// The tool says a command; gives the tag under which the upstream hears it.
    async fn command(&mut self, line: &str) -> String {
        self.tool.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        let mut heard = String::new();
        self.upstream.read_line(&mut heard).await.unwrap();
        heard.split(' ').next().unwrap().to_owned()
    }

    async fn say(&mut self, text: &str) {
        self.upstream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next lines that the tool hears.
    async fn heard(&mut self, count: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..count {
            let mut line = String::new();
            self.tool.read_line(&mut line).await.unwrap();
            lines.push(line.trim_end().to_owned());
        }
        lines
    }
}

fn message(number: u32) -> String {
    format!("* {number} FETCH (BODY[] {{1}}\r\nx)\r\n")
}

#[tokio::test]
async fn when_the_hour_turns_in_an_answer_each_hour_counts_what_came_in_it() {
    let mut scene = Scene::with(r#"{"messages_read":{"hour":20}}"#).await;
    let tag = scene.command("b FETCH 1:39 BODY.PEEK[]").await;
    scene.say(&(1..=18).map(message).collect::<String>()).await;
    scene.heard(2 * 18).await;
    scene.house.gatekeeper.clock().advance(HOUR);
    scene.say(&(19..=38).map(message).collect::<String>()).await;
    scene.heard(2 * 20).await;
    scene.say(&format!("{}{tag} OK done\r\n", message(39))).await;
    let cut_off = scene.heard(2).await;
    assert!(cut_off[0].starts_with("b NO [LIMIT] ") && cut_off[1].starts_with("* BYE [LIMIT] "), "{cut_off:?}");
}

#[tokio::test]
async fn a_message_that_is_told_in_several_responses_is_one() {
    let own = "* 1 FETCH (BODY[HEADER.FIELDS (MESSAGE-ID)] {23}\r\nMessage-ID: <1@x.y>\r\n\r\n)\r\n";
    let (header, text) = ("* 1 FETCH (BODY[HEADER] {4}\r\n\r\n\r\n)\r\n", "* 1 FETCH (BODY[TEXT] {1}\r\nx)\r\n");
    for (asked, said, lines) in [
        // With what only we asked for, before the rest or after it.
        ("BODY.PEEK[TEXT]", [text, own].concat(), 2),
        ("BODY.PEEK[TEXT]", [own, text].concat(), 2),
        ("(BODY.PEEK[HEADER] BODY.PEEK[TEXT])", [header, "* 1 FETCH (FLAGS ())\r\n", text].concat(), 7),
    ] {
        let mut scene = Scene::with(r#"{"messages_read":{"hour":1}}"#).await;
        let tag = scene.command(&format!("b FETCH 1 {asked}")).await;
        scene.say(&format!("{said}{tag} OK done\r\n")).await;
        let heard = scene.heard(lines + 1).await;
        assert_eq!(heard.last().unwrap(), "b OK done", "{asked}: {heard:?}");
    }
    // Numbers that may have changed are no proof.
    let mut scene = Scene::with(r#"{"messages_read":{"hour":1}}"#).await;
    let tag = scene.command("b UID FETCH 1:2 BODY.PEEK[]").await;
    scene.say(&format!("{}* 1 EXPUNGE\r\n{}{tag} OK done\r\n", message(1), message(1))).await;
    let heard = scene.heard(4).await;
    assert!(heard[3].starts_with("b NO [LIMIT] "), "{heard:?}");
}
