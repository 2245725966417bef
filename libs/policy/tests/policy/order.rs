//! Which of the rules that match decides.

use std::time::Duration;

use waybill_policy::{Ask, Policy, Verdict};

use crate::{Call, parse};

/// Rules `NAME DECISION PATTERN...` over commands, one a line.
fn rules(lines: &[&str]) -> Policy {
    let rules = lines.iter().map(|line| {
        let mut words = line.splitn(3, ' ');
        let [name, decision, pattern] = [(); 3].map(|()| words.next().unwrap());
        format!(
            "[[rules]]\nname = {name:?}\ntools = [\"*\"]\ndecision = {decision:?}\n\
             commands = [{pattern:?}]\n"
        )
    });
    parse(&rules.collect::<String>())
}

fn decided(policy: &Policy, command: &str) -> (Verdict, Option<String>) {
    let decision = Call::running([command]).decided(policy);
    (decision.verdict, decision.rule)
}

fn by(verdict: Verdict, rule: &str) -> (Verdict, Option<String>) {
    (verdict, Some(rule.to_owned()))
}

#[test]
fn the_last_of_ask_and_allow_wins() {
    let policy = rules(&["all ask *", "look allow git status"]);
    assert_eq!(decided(&policy, "git status"), by(Verdict::Allow, "look"));
    assert_eq!(decided(&policy, "git push"), by(Verdict::Ask, "all"));
    let policy = rules(&[
        "git allow git *",
        "push ask git push *",
        "dry allow git push -n",
    ]);
    assert_eq!(decided(&policy, "git log"), by(Verdict::Allow, "git"));
    assert_eq!(decided(&policy, "git push x"), by(Verdict::Ask, "push"));
    assert_eq!(decided(&policy, "git push -n"), by(Verdict::Allow, "dry"));
}

#[test]
fn deny_wins_wherever_it_stands() {
    let policy = rules(&["no deny git push", "all allow *", "push ask git push *"]);
    assert_eq!(decided(&policy, "git push"), by(Verdict::Deny, "no"));
    assert_eq!(decided(&policy, "git log"), by(Verdict::Allow, "all"));
    let policy = rules(&["all allow *", "push ask git push *", "no deny git push"]);
    assert_eq!(decided(&policy, "git push"), by(Verdict::Deny, "no"));
}

#[test]
fn an_ask_that_only_touches_tightens_and_never_loosens() {
    let ask = "[[rules]]\nname = \"ask\"\ntools = [\"*\"]\ndecision = \"ask\"\n\
               commands = [\"git push\"]\n";
    let closed = parse(&format!("[defaults]\nonce = \"deny\"\n{ask}"));
    assert_eq!(decided(&closed, "git push"), by(Verdict::Ask, "ask"));
    assert_eq!(decided(&closed, "git push --force"), (Verdict::Deny, None));
    let open = parse(&format!("[defaults]\nonce = \"allow\"\n{ask}"));
    assert_eq!(decided(&open, "git push --force"), by(Verdict::Ask, "ask"));
    assert_eq!(decided(&open, "git log"), (Verdict::Allow, None));
}

#[test]
fn how_it_is_asked_is_what_the_deciding_rule_says() {
    let policy = parse(
        r#"
        [ask]
        expires = "5m"
        [[rules]]
        tools = ["*"]
        commands = ["pay *"]
        decision = "ask"
        second-person = true
        expires = "1h 30m"
        [[rules]]
        tools = ["*"]
        commands = ["pay tip"]
        decision = "ask"
        [[rules]]
        tools = ["*"]
        commands = ["call"]
        decision = "ask"
        second-person = true
        expires = "1m"
        "#,
    );
    let ask = |second_person, minutes| {
        Some(Ask {
            second_person,
            expires: Duration::from_mins(minutes),
        })
    };
    let asked = |commands: &[&str]| Call::running(commands.iter().copied()).decided(&policy).ask;
    assert_eq!(asked(&["make"]), ask(false, 5));
    assert_eq!(asked(&["pay rent"]), ask(true, 90));
    // The last rule decides; one that only touches takes nothing back.
    assert_eq!(asked(&["pay tip"]), ask(false, 5));
    assert_eq!(asked(&["pay tip 3"]), ask(true, 5));
    assert_eq!(asked(&["call ada"]), ask(true, 1));
    // Whoever answers for two parts must be fit for both.
    assert_eq!(asked(&["make", "pay rent"]), ask(true, 5));
    assert_eq!(asked(&["pay rent", "make"]), ask(true, 5));
}

#[test]
fn who_may_be_told_why() {
    let policy = parse(
        "[[rules]]\nname = \"no\"\ntools = [\"*\"]\ndecision = \"deny\"\ncommands = [\"git push\"]\n\
         reason = \"people push\"\n",
    );
    let decision = Call::running(["git push -f"]).decided(&policy);
    assert_eq!(
        decision.to_string(),
        "deny by rule no: people push (git push -f)"
    );
    assert_eq!(decision.ask, None);
    let decision = Call::running(["ls"]).decided(&policy);
    assert_eq!(
        decision.to_string(),
        "ask: no rule matches, and the default for once tools is ask (ls)"
    );
}
