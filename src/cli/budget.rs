//! `--budget`: one limit of a grant's budgets, such as `recipients=100/hour` or `sessions=5`.

use anyhow::ensure;
use serde_json::{Map, Value, json};

use crate::domain::budget::{Amount, Budgeted, OnExhausted, Span};

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    Counted(Budgeted, Span, Amount),
    Sessions(u32),
    Then(OnExhausted),
}

/// Reads one.
pub(super) fn limit(text: &str) -> Result<Limit, String> {
    let form = || {
        let names = Budgeted::ALL.map(Budgeted::as_str).join(", ");
        format!(
            "a budget is NAME=NUMBER/hour or NAME=NUMBER/day with NAME of {names}; or sessions=NUMBER, or on_exhausted=answer or freeze"
        )
    };
    let (name, value) = text.split_once('=').ok_or_else(form)?;
    if name == "sessions" {
        return value.parse().map(Limit::Sessions).map_err(|_| form());
    }
    if name == "on_exhausted" {
        return OnExhausted::ALL.into_iter().find(|then| then.as_str() == value).map(Limit::Then).ok_or_else(form);
    }
    let what = Budgeted::ALL.into_iter().find(|what| what.as_str() == name).ok_or_else(form)?;
    let (number, span) = value.split_once('/').ok_or_else(form)?;
    let span = Span::ALL.into_iter().find(|known| known.as_str() == span).ok_or_else(form)?;
    let amount = number.parse::<u64>().map_err(|_| form())?;
    Ok(Limit::Counted(what, span, Amount::try_from(amount).map_err(str::to_owned)?))
}

/// The bound that they make together; none of them may be said twice.
pub(super) fn bound(limits: &[Limit]) -> anyhow::Result<Value> {
    let mut all = Map::new();
    for limit in limits {
        let before = match limit {
            Limit::Sessions(most) => all.insert("sessions".to_owned(), json!(most)),
            Limit::Then(then) => all.insert("on_exhausted".to_owned(), json!(then)),
            Limit::Counted(what, span, amount) => {
                let of = all.entry(what.as_str()).or_insert_with(|| json!({}));
                of.as_object_mut().and_then(|of| of.insert(span.as_str().to_owned(), json!(amount)))
            }
        };
        ensure!(before.is_none(), "--budget says twice how much of one thing there is");
    }
    Ok(Value::Object(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{bound, limit};
    use crate::domain::bounds::Bounds;

    #[test]
    fn limits_make_one_bound() {
        let texts = ["recipients=100/hour", "recipients=1000/day", "bytes=0/day", "sessions=5", "on_exhausted=freeze"];
        let limits: Vec<_> = texts.iter().map(|text| limit(text).unwrap()).collect();
        let expected = json!({ "recipients": { "hour": 100, "day": 1000 }, "bytes": { "day": 0 }, "sessions": 5, "on_exhausted": "freeze" });
        assert_eq!(bound(&limits).unwrap(), expected);
        for again in texts {
            assert!(bound(&[limits.as_slice(), &[limit(again).unwrap()]].concat()).is_err(), "{again}");
        }
    }

    #[test]
    fn a_file_says_the_same_as_the_command_line() {
        let file = "budgets.recipients = { hour = 100, day = 1000 }\nbudgets.bytes.day = 0\nbudgets.sessions = 5\nbudgets.on_exhausted = \"freeze\"";
        let bounds: Bounds = toml::from_str(file).unwrap();
        let texts = ["recipients=100/hour", "recipients=1000/day", "bytes=0/day", "sessions=5", "on_exhausted=freeze"];
        let limits: Vec<_> = texts.iter().map(|text| limit(text).unwrap()).collect();
        assert_eq!(serde_json::to_value(bounds.budgets).unwrap(), bound(&limits).unwrap());
        assert_eq!(bounds.budgets.unwrap().to_string(), texts.join(" "));
        assert!(toml::from_str::<Bounds>("budgets.moons.hour = 1").is_err());
    }

    #[test]
    fn a_limit_has_one_form() {
        for wrong in [
            "",
            "recipients",
            "recipients=100",
            "recipients=/hour",
            "recipients=-1/hour",
            "recipients=1/week",
            "moons=1/hour",
            "recipients=1/hour/day",
            "bytes=1k/day",
            "bytes=9007199254740992/day",
            "sessions=1/hour",
            "sessions=-1",
            "sessions=",
            "on_exhausted=thaw",
        ] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
    }
}
