//! What holds for every policy and every call.

use std::path::Path;

use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};
use waybill_policy::{Command, Policy, Target, Verdict, Word};
use waybill_toolkit::Effect;

use crate::{Call, fit, parse};

const DECISIONS: [&str; 3] = ["allow", "ask", "deny"];
/// Few, so that rules and calls meet.
const WORDS: [&str; 7] = ["git", "push", "status", "-C", "-f", "/bin/git", "A=1"];
const PIECES: [&str; 5] = ["a", "b", "*", "**", "B"];
const NAMES: [&str; 4] = ["a", "b", "c", "b"];

#[derive(Clone, Debug)]
struct Rule {
    decision: &'static str,
    commands: Option<String>,
    paths: Option<String>,
    user: Option<&'static str>,
}

impl Rule {
    fn text(&self) -> String {
        let line = |key, pattern: &Option<String>| match pattern {
            Some(pattern) => format!("{key} = [{pattern:?}]\n"),
            None => String::new(),
        };
        // A rule without a condition may be refused, because it buries others.
        format!(
            "[[rules]]\ntools = [\"*\"]\ndecision = {:?}\nusers = [{:?}]\n{}{}",
            self.decision,
            self.user.unwrap_or("*"),
            line("commands", &self.commands),
            line("paths", &self.paths),
        )
    }
}

fn policy_with(default: &str, rules: &[Rule]) -> Policy {
    let rules: String = rules.iter().map(Rule::text).collect();
    parse(&format!("[defaults]\nonce = {default:?}\n{rules}"))
}

fn words() -> impl Strategy<Value = Vec<&'static str>> {
    vec(select(&WORDS[..]), 1..4)
}

fn command_pattern() -> impl Strategy<Value = String> {
    let word = prop_oneof![4 => select(&WORDS[..]), 1 => select(&["*", "g*", "p?sh"][..])];
    let open = select(&["", " *"][..]);
    (vec(word, 1..3), open).prop_map(|(words, open)| words.join(" ") + open)
}

fn path_pattern() -> impl Strategy<Value = String> {
    vec(select(&PIECES[..]), 1..4).prop_map(|pieces| format!("project:{}", pieces.join("/")))
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        select(&DECISIONS[..]),
        option::of(command_pattern()),
        option::of(path_pattern()),
        option::weighted(0.2, select(&["ada", "bob"][..])),
    )
        .prop_map(|(decision, commands, paths, user)| Rule {
            decision,
            commands,
            paths,
            user,
        })
}

fn target() -> impl Strategy<Value = Target> {
    (vec(select(&NAMES[..]), 0..4), any::<bool>()).prop_map(|(names, below)| Target {
        below,
        ..Target::new("project", names.join("/"))
    })
}

fn command() -> impl Strategy<Value = Command> {
    let word = prop_oneof![
        8 => select(&WORDS[..]).prop_map(|word| Word::Is(word.to_owned())),
        1 => Just(Word::Unknown),
    ];
    vec(word, 0..5).prop_map(Command)
}

fn call() -> impl Strategy<Value = Call> {
    calls(0)
}

/// With at least so many commands.
fn calls(least: usize) -> impl Strategy<Value = Call> {
    (vec(command(), least..4), vec(target(), 0..3)).prop_map(|(commands, paths)| Call {
        commands,
        paths,
        ..Call::default()
    })
}

fn world() -> impl Strategy<Value = (Policy, Call)> {
    let policy = (select(&DECISIONS[..]), vec(rule(), 0..6));
    let policy = policy.prop_map(|(default, rules)| policy_with(default, &rules));
    (policy, call())
}

proptest! {
    /// The heart: nothing is allowed along with something else.
    #[test]
    fn the_whole_gets_the_strictest_answer_of_its_parts((policy, call) in world()) {
        let commands = each(&call.commands);
        let paths = each(&call.paths);
        let parts = commands.iter().flat_map(|commands| {
            paths.iter().map(|paths| Call {
                commands: commands.clone(),
                paths: paths.clone(),
                ..call.clone()
            })
        });
        let strictest = parts.map(|part| part.verdict(&policy)).max().unwrap();
        prop_assert_eq!(call.verdict(&policy), strictest);
    }

    #[test]
    fn one_more_part_never_loosens(
        (policy, call) in world(),
        more in command(),
        path in target(),
        at in any::<Index>(),
    ) {
        let before = call.verdict(&policy);
        let mut longer = call.clone();
        if !call.commands.is_empty() {
            longer.commands.insert(at.index(call.commands.len() + 1), more);
        }
        if !call.paths.is_empty() {
            longer.paths.insert(at.index(call.paths.len() + 1), path);
        }
        prop_assert!(longer.verdict(&policy) >= before);
    }

    /// Whatever is hidden in an expansion.
    #[test]
    fn what_is_not_known_never_loosens(
        (policy, _) in world(),
        call in calls(1),
        which in any::<Index>(),
        from in any::<Index>(),
        length in 0_usize..3,
    ) {
        let before = call.verdict(&policy);
        let mut hidden = call.clone();
        let words = &mut which.get_mut(&mut hidden.commands).0;
        let from = from.index(words.len() + 1);
        let to = (from + length).min(words.len());
        words.splice(from..to, [Word::Unknown]);
        prop_assert!(hidden.verdict(&policy) >= before, "{} is {}", call.commands[which.index(call.commands.len())], before);
    }

    /// To delete a directory is to delete all that is in it.
    #[test]
    fn a_directory_is_answered_like_the_strictest_of_what_is_in_it(
        (policy, call) in world(),
        root in target(),
        below in vec(select(&NAMES[..]), 0..3),
    ) {
        let whole = Target::tree("project", root.path.clone());
        let names = std::iter::once(root.path.as_str()).filter(|path| !path.is_empty());
        let inside = names.chain(below).collect::<Vec<_>>().join("/");
        let on = |target| Call { paths: vec![target], ..call.clone() };
        let (whole, inside) = (on(whole), on(Target::new("project", inside)));
        prop_assert!(whole.verdict(&policy) >= inside.verdict(&policy));
    }

    #[test]
    fn one_more_deny_never_loosens(
        default in select(&DECISIONS[..]),
        mut rules in vec(rule(), 0..6),
        call in call(),
        deny in rule(),
        at in any::<Index>(),
    ) {
        let before = call.verdict(&policy_with(default, &rules));
        rules.insert(at.index(rules.len() + 1), Rule { decision: "deny", ..deny });
        prop_assert!(call.verdict(&policy_with(default, &rules)) >= before);
    }

    #[test]
    fn where_a_deny_stands_does_not_matter(
        default in select(&DECISIONS[..]),
        rules in vec(rule(), 0..6),
        call in call(),
    ) {
        let (denies, others): (Vec<_>, Vec<_>) =
            rules.iter().cloned().partition(|rule| rule.decision == "deny");
        let first = [denies.clone(), others.clone()].concat();
        let last = [others, denies].concat();
        let verdict = call.verdict(&policy_with(default, &rules));
        prop_assert_eq!(call.verdict(&policy_with(default, &first)), verdict);
        prop_assert_eq!(call.verdict(&policy_with(default, &last)), verdict);
    }

    /// Against another way to say what it means that an allow covers: for patterns of plain words.
    #[test]
    fn what_is_allowed_was_named_word_by_word(
        patterns in vec((words(), any::<bool>()), 1..4),
        call in call(),
    ) {
        let rules: Vec<_> = patterns
            .iter()
            .map(|(words, open)| Rule {
                decision: "allow",
                commands: Some(words.join(" ") + if *open { " *" } else { "" }),
                paths: None,
                user: None,
            })
            .collect();
        let named = |command: &Command| {
            patterns.iter().any(|(words, open)| {
                let words: Vec<_> = words.iter().map(|word| Word::Is((*word).to_owned())).collect();
                if *open { command.0.starts_with(&words) } else { command.0 == words }
            })
        };
        let all = !call.commands.is_empty() && call.commands.iter().all(named);
        let expected = if all { Verdict::Allow } else { Verdict::Ask };
        prop_assert_eq!(call.verdict(&policy_with("ask", &rules)), expected);
    }

    #[test]
    fn who_allows_paths_allows_no_commands(mut rules in vec(rule(), 0..6), call in calls(1)) {
        for rule in &mut rules {
            rule.commands = None;
            rule.paths.get_or_insert_with(|| "**".to_owned());
        }
        prop_assert!(call.verdict(&policy_with("ask", &rules)) >= Verdict::Ask);
    }

    /// `git push` is denied in whatever form.
    #[test]
    fn a_denied_command_is_not_disguised(
        directory in select(&["", "/usr/bin/", "./", "../x/"][..]),
        assignments in vec(select(&["A=1", "_B+=x"][..]), 0..2),
        options in vec(select(&["-f", "--no-pager", "-C"][..]), 0..3),
        value in option::of(select(&["dir", "push", "status"][..])),
        more in vec(select(&WORDS[..]), 0..3),
        upper in any::<bool>(),
    ) {
        // Only an option has a value.
        let value = value.filter(|_| !options.is_empty());
        let program = format!("{directory}{}", if upper { "GIT" } else { "git" });
        let mut words: Vec<_> = assignments.iter().map(|word| (*word).to_owned()).collect();
        words.push(program);
        words.extend(options.iter().chain(&value).map(|word| (*word).to_owned()));
        words.push("push".to_owned());
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let call = Call { commands: vec![Command::new(words)], ..Call::default() };
        let found = fit("commands = [\"git push\"]", &call);
        prop_assert!(["touches", "covers"].contains(&found), "{}", call.commands[0]);
    }

    #[test]
    fn what_is_explained_is_what_is_decided((policy, call) in world()) {
        let explanation = call.explained(&policy);
        let decision = call.decided(&policy);
        prop_assert_eq!(decision.ask.is_some(), decision.verdict == Verdict::Ask);
        let strictest = explanation.parts.iter().max_by_key(|part| part.verdict).unwrap();
        prop_assert_eq!(strictest.verdict, decision.verdict);
        for part in &explanation.parts {
            let deciding: Vec<_> = part.rules.iter().filter(|rule| rule.decides).collect();
            prop_assert_eq!(deciding.len(), usize::from(part.rule.is_some()));
            for rule in deciding {
                prop_assert!(rule.missed.is_none());
                prop_assert_eq!(rule.decision, part.verdict);
            }
            let denied = part.rules.iter().any(|rule| {
                rule.decision == Verdict::Deny && rule.missed.is_none()
            });
            prop_assert!(!denied || part.verdict == Verdict::Deny);
        }
        prop_assert_eq!(&explanation.decision, &decision);
    }

    /// `fit` fails where something is covered and not touched.
    #[test]
    fn what_is_covered_is_touched(
        pattern in "[a-c*?/.]{1,6}",
        text in "[a-cA-C/.]{0,6}",
        value in option::of(any::<f64>()),
    ) {
        let value = value.map_or_else(|| text.clone().into(), serde_json::Value::from);
        let call = Call {
            paths: vec![Target::new("a", text.clone()), Target::tree("b", text.clone())],
            ..Call::with(serde_json::json!({ "x": [value, text] }))
        };
        fit(&format!("arguments = {{ x = {pattern:?} }}"), &call);
        fit("arguments = { x = { min = 0, max = 100 } }", &call);
        if Policy::parse(&Rule {
            decision: "allow",
            commands: None,
            paths: Some(pattern.clone()),
            user: None,
        }.text(), Path::new("")).is_ok() {
            fit(&format!("paths = [{pattern:?}]"), &call);
        }
    }

    #[test]
    fn no_text_breaks_the_parser(text in any::<String>(), key in "[a-z-]{1,12}") {
        let path = Path::new("policy.toml");
        drop(Policy::parse(&text, path));
        let quoted = toml::Value::String(text).to_string();
        for line in [
            format!("{key} = {quoted}"),
            format!("commands = [{quoted}]"),
            format!("paths = [{quoted}]"),
            format!("expires = {quoted}"),
            format!("arguments = {{ {quoted} = {quoted} }}"),
            format!("when = {{ days = [{quoted}], zone = {quoted} }}"),
            format!("when = {{ hours = [{quoted}], zone = \"UTC\" }}"),
        ] {
            let text = format!("[[rules]]\ntools = [{quoted}]\ndecision = \"ask\"\n{line}\n");
            drop(Policy::parse(&text, path));
        }
    }

    #[test]
    fn the_default_decides_where_no_rule_matches(
        default in select(&DECISIONS[..]),
        rules in vec(rule(), 0..6),
        call in call(),
    ) {
        let strangers: Vec<_> =
            rules.into_iter().map(|rule| Rule { user: Some("bob"), ..rule }).collect();
        let policy = policy_with(default, &strangers);
        let decision = Call { effect: Effect::Once, ..call }.decided(&policy);
        prop_assert_eq!(decision.verdict.as_str(), default);
        prop_assert_eq!(decision.rule, None);
    }
}

/// Lists of one each, or the empty list where there is none.
fn each<T: Clone>(all: &[T]) -> Vec<Vec<T>> {
    if all.is_empty() {
        return vec![Vec::new()];
    }
    all.iter().map(|one| vec![one.clone()]).collect()
}
