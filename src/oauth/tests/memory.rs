//! Row JWT-14: what is remembered of a token is its signature, and never a decision.

use crate::domain::client::TokenAlg;
use crate::domain::clock::Timestamp;
use crate::domain::token::{Claims, LATE_SECS};
use crate::oauth::keyset::Keyset;
use crate::oauth::tests::service::House;
use crate::oauth::verified::Verified;
use crate::oauth::verify::{Signed, verify};
use crate::oauth::{IssuedToken, TokenRejected};

const NOW: i64 = 1_795_507_200;

fn text(issued: &IssuedToken) -> String {
    issued.token.expose_text(str::to_owned).unwrap()
}

fn payload(client: &str, mailbox: &str) -> String {
    format!(
        r#"{{"iss":"i","sub":"{client}","client_id":"{client}","aud":"mailto:{mailbox}","scope":"mail.read","iat":{NOW},"exp":{},"jti":"{client}"}}"#,
        NOW + 300
    )
}

#[test]
fn jwt_14_two_tokens_that_alternate_never_get_each_others_result() {
    let (keyset, memory, now) = (Keyset::for_tests(), Verified::default(), Timestamp::from_secs(NOW));
    let tokens: Vec<(String, Claims)> = [("cli_000000000001", "a@b.test"), ("cli_000000000002", "c@d.test")]
        .into_iter()
        .map(|(client, mailbox)| {
            let token = keyset.sign(TokenAlg::EdDsa, &payload(client, mailbox)).unwrap();
            let claims = verify(&keyset, "i", now, &token).unwrap();
            (token, claims)
        })
        .collect();
    let mut computed = 0;
    for round in 0..10_000 {
        let (token, expected) = &tokens[round % 2];
        let signed = memory.get_or(token, &keyset, now, || {
            computed += 1;
            Ok(Signed::of("ed", verify(&keyset, "i", now, token)?))
        });
        assert_eq!(&signed.unwrap().claims, expected, "round {round}");
        // One octet of difference anywhere is another token, whose signature is looked at.
        let other = format!("{}{}", &token[..token.len() - 4], "AAAA");
        let refused = memory.get_or(&other, &keyset, now, || Err(TokenRejected::Signature));
        assert_eq!(refused, Err(TokenRejected::Signature));
    }
    assert_eq!(computed, 2, "a good signature is computed once");
    // A key that no longer counts takes its tokens with it.
    let stranger = Keyset::without("ed");
    let refused = memory.get_or(&tokens[0].0, &stranger, now, || Err(TokenRejected::Signature));
    assert_eq!(refused, Err(TokenRejected::Signature));
}

#[tokio::test]
async fn jwt_14_a_remembered_token_is_judged_anew_each_time() {
    let house = House::new(TokenAlg::EdDsa).await;
    let token = text(&house.node.ask("192.0.2.1", &house.body(), None).await.unwrap());
    let claims = house.node.tokens.verify(&token).unwrap();
    house.clock.advance((300 + LATE_SECS) * 1000);
    assert_eq!(house.node.tokens.verify(&token).unwrap(), claims);
    house.clock.advance(1000);
    assert_eq!(house.node.tokens.verify(&token), Err(TokenRejected::Expired));
    house.clock.advance(-(300 + LATE_SECS + 12) * 1000);
    assert_eq!(house.node.tokens.verify(&token), Err(TokenRejected::NotYet));
}
