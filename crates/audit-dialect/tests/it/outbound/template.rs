//! Templates of one's own, and the ready-made ones.

use audit_dialect::outbound::{BodyFormat, Carry, RenderError, Renderer};
use rstest::rstest;
use serde_json::{Value, json};

use super::samples::{body, full, full_with, record, render, sent, text};

fn json_template(template: &str) -> BodyFormat {
    BodyFormat::Template { template: template.to_owned(), content_type: None }
}

fn text_template(template: &str) -> BodyFormat {
    BodyFormat::Template { template: template.to_owned(), content_type: Some("text/plain".to_owned()) }
}

fn failure(template: &str) -> RenderError {
    render(&json_template(template), &record(full())).expect_err("fails")
}

#[rstest]
#[case::inside_a_string(r#"{"a": "by {{ author.email }}!"}"#, r#"{"a": "by author@example.com!"}"#)]
#[case::outside_a_string(r#"{"a": {{ author.email }}}"#, r#"{"a": "author@example.com"}"#)]
#[case::a_number_outside(r#"{"a": {{ schema_version }}}"#, r#"{"a": 1}"#)]
#[case::an_object_outside(
    "{{ change.after }}",
    r#"{"enabled":true,"status":"after-status","value":"after-value"}"#
)]
#[case::an_object_inside(
    r#"["{{ change.fields[0] }}"]"#,
    r#"["{\"after\":true,\"before\":false,\"field\":\"changed-field\"}"]"#
)]
#[case::nothing_inside(r#"["{{ attributes.x|default("none") }}"]"#, r#"["none"]"#)]
#[case::null_inside_and_outside(r#"["{{ approval.bypassed }}", {{ approval.bypassed }}]"#, r#"["", null]"#)]
#[case::a_condition(r#"[{% if attributes.x %}1{% else %}2{% endif %}]"#, "[2]")]
#[case::a_loop(
    r#"[{% for f in change.fields %}"{{ f.field }}"{% if not loop.last %},{% endif %}{% endfor %}]"#,
    r#"["changed-field"]"#
)]
#[case::after_an_escaped_quote(r#"["\"{{ action }}"]"#, r#"["\"flag.state.changed"]"#)]
#[case::filters(
    r#"["{{ log|upper|truncate(8) }}", {{ log|length }}, {{ occurred_at|epoch }}]"#,
    r#"["THE LOG…", 16, 1787333457.006318]"#
)]
#[case::of_which_no_character_is_left(
    r#"["{{ log|truncate(0) }}", "{{ log|truncate(1) }}"]"#,
    r#"["", "…"]"#
)]
#[case::a_text_that_holds_another(
    r#"[{% if log is containing("sentence") and log is not containing("other") %}1{% endif %}]"#,
    "[1]"
)]
#[case::a_list_that_has_a_text(
    r#"[{% if [action, log] is containing("flag.state.changed") and [log] is not containing("log") %}1{% endif %}]"#,
    "[1]"
)]
#[case::compared_with_what_is_written_out(
    r#"[{% if action in ["flag.created", "flag.state.changed"] and schema_version == 1 %}1{% endif %}]"#,
    "[1]"
)]
#[case::joined(r#"["{{ [action, log]|join(", ") }}"]"#, r#"["flag.state.changed, the log sentence"]"#)]
#[case::pairs(
    r#"[{% for name, value in flag|items %}"{{ name }}"{% if not loop.last %},{% endif %}{% endfor %}]"#,
    r#"["id","key","name"]"#
)]
fn a_value_is_written_as_its_place_asks(#[case] template: &str, #[case] expected: &str) {
    assert_eq!(text(&sent(&json_template(template), full())), expected);
}

#[test]
fn numbers_keep_their_digits() {
    let digits = r#"{"a":1.50,"b":9007199254740993,"c":1e+400,"d":-0.0,"e":123456789012345678901234567890}"#;
    let after = audit_record::parse_strict(digits.as_bytes()).unwrap();
    let rendered = sent(&json_template("{{ change.after }}"), full_with(json!({"change": {"after": after}})));
    assert_eq!(text(&rendered), digits);
}

#[test]
fn the_whole_record_stands_in_a_template_as_it_is() {
    let rendered = sent(&json_template(r#"{"r": {{ record }}}"#), full());
    assert_eq!(body(&rendered)["r"], record(full()).draft().to_value());
}

#[test]
fn any_other_media_type_gets_values_as_they_are() {
    let rendered = sent(
        &text_template("{{ log }}: \"{{ flag.name }}\" {{ ticket }}"),
        full_with(json!({"log": "a\n\"b\""})),
    );
    assert_eq!(text(&rendered), "a\n\"b\": \"flag-name\" the-ticket");
    assert_eq!(rendered.content_type.as_deref(), Some("text/plain"));
}

#[test]
fn a_name_that_no_record_has_is_an_error_with_its_line() {
    let error = failure("{\"a\": 1,\n\"b\": {{ flag.nme }}}");
    assert!(matches!(&error, RenderError::Template { line: Some(2), .. }), "{error:?}");
    assert!(error.to_string().starts_with("the template failed in line 2: undefined value"), "{error}");
}

#[rstest]
#[case::an_unknown_field("{{ flagg.name }}", "no record has a field \"flagg\"")]
#[case::an_unknown_filter("{{ log|shout }}", "shout")]
#[case::no_end("{% if log %}", "can't be read")]
#[case::growth("{{ log ~ log }}", "~ is not allowed")]
#[case::no_function("{{ range(10) }}", "range")]
fn a_template_that_can_not_work_is_refused_before_it_is_used(#[case] template: &str, #[case] words: &str) {
    match Renderer::try_new(&json_template(template), Carry::Body) {
        Err(error) => assert!(error.to_string().contains(words), "{error}"),
        // Filters are looked up when they are first called.
        Ok(_) => assert!(failure(template).to_string().contains(words), "{}", failure(template)),
    }
}

#[test]
fn what_is_no_json_is_not_sent() {
    let error = failure("{{ log }} and more");
    assert!(matches!(error, RenderError::NotJson(_)), "{error:?}");
}

#[test]
fn a_template_that_loops_for_ever_is_stopped() {
    let list: Vec<u32> = (0..400).collect();
    let template = "{% for a in attributes.l %}{% for b in attributes.l %}{% for c in attributes.l %}{{ c }}{% endfor %}{% endfor %}{% endfor %}";
    let stored = record(full_with(json!({"attributes": {"l": list}})));
    assert_eq!(render(&text_template(template), &stored), Err(RenderError::TooManySteps { steps: 50_000 }));
}

#[test]
fn a_template_that_makes_too_much_is_stopped() {
    let template = "{% for a in attributes.l %}{{ log }}{% endfor %}";
    let list: Vec<u32> = (0..100).collect();
    let stored = record(full_with(json!({"attributes": {"l": list}, "log": "x".repeat(100_000)})));
    assert_eq!(
        render(&text_template(template), &stored),
        Err(RenderError::TooLarge { bytes: 2 * 1024 * 1024 })
    );
}

#[test]
fn filters_that_are_given_too_much_are_stopped() {
    let list: Vec<u32> = (0..2_000).collect();
    let nothing = vec![""; 100_000];
    let attributes = json!({"l": list, "nothing": nothing});
    let stored = record(full_with(json!({"attributes": attributes, "log": "x".repeat(100_000)})));
    for condition in ["log|upper", "log is containing(\"y\")", "attributes.nothing|join(\"\")"] {
        let template =
            format!("{{% for a in attributes.l %}}{{% if {condition} %}}{{% endif %}}{{% endfor %}}");
        let error = render(&text_template(&template), &stored).unwrap_err();
        assert!(error.to_string().contains("the filters were given too much"), "{condition}: {error}");
    }
}

#[test]
fn no_step_handles_more_than_the_filters_may_or_the_template_says() {
    let template = "{% for a in attributes.l %}{% if log == reason %}x{% endif %}{% endfor %}";
    let error = Renderer::try_new(&text_template(template), Carry::Body).unwrap_err();
    assert!(error.to_string().contains("== must be followed by a text"), "{error}");
}

#[rstest]
#[case("application/json; charset=utf-8", true)]
#[case("application/vnd.acme+json", true)]
#[case("text/html", false)]
fn json_is_known_by_its_media_type(#[case] content_type: &str, #[case] is_json: bool) {
    let format =
        BodyFormat::Template { template: "not json".to_owned(), content_type: Some(content_type.to_owned()) };
    assert_eq!(matches!(render(&format, &record(full())), Err(RenderError::NotJson(_))), is_json);
}

#[rstest]
#[case("")]
#[case("json")]
#[case("text/plain\r\nx-evil: 1")]
fn what_is_no_media_type_is_refused(#[case] content_type: &str) {
    let format =
        BodyFormat::Template { template: "x".to_owned(), content_type: Some(content_type.to_owned()) };
    let error = Renderer::try_new(&format, Carry::Body).unwrap_err();
    assert!(error.to_string().contains("must be a media type"), "{error}");
}

fn hostile() -> Value {
    full_with(json!({
        "log": "Flag \"<b> & 'q'\n🚀\u{202e}\" changed",
        "environment": {"name": "Pröd, <eu>"},
        "author": {"type": "unknown"}
    }))
}

#[test]
fn slack_gets_text_and_blocks_with_its_three_characters_escaped() {
    let message = body(&sent(&BodyFormat::Slack, hostile()));
    assert_eq!(message["text"], "Flag \"&lt;b&gt; &amp; 'q'\n🚀\u{202e}\" changed");
    assert_eq!(message["blocks"][0]["text"]["type"], "mrkdwn");
    assert_eq!(message["blocks"][1]["elements"][0]["text"], "unknown");
    assert_eq!(message["blocks"][1]["elements"][1]["text"], "Pröd, &lt;eu&gt;");
    let long = body(&sent(&BodyFormat::Slack, full_with(json!({"log": "&".repeat(10_000)}))));
    assert!(long["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 3000);
}

#[test]
fn teams_gets_one_adaptive_card() {
    let message = body(&sent(&BodyFormat::Teams, hostile()));
    assert_eq!(message["type"], "message");
    let attachment = &message["attachments"][0];
    assert_eq!(attachment["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(attachment["content"]["type"], "AdaptiveCard");
    assert_eq!(attachment["content"]["body"][0]["text"], "Flag \"<b> & 'q'\n🚀\u{202e}\" changed");
    let facts = attachment["content"]["body"][1]["facts"].as_array().unwrap();
    assert_eq!(facts[0], json!({"title": "Environment", "value": "Pröd, <eu>"}));
    assert_eq!(facts[2], json!({"title": "By", "value": "unknown"}));
}

#[test]
fn splunk_gets_the_record_as_an_event_at_its_own_time() {
    let rendered = sent(&BodyFormat::SplunkHec, hostile());
    let event = body(&rendered);
    assert_eq!(event["time"].to_string(), "1787333457.006318");
    assert_eq!(event["source"], "flagtrail/source-name");
    assert_eq!(event["event"], record(hostile()).draft().to_value());
}

#[test]
fn datadog_gets_a_list_of_one_line_with_tags_it_keeps() {
    let line = &body(&sent(&BodyFormat::Datadog, hostile()))[0];
    assert_eq!(line["ddtags"], "env:pröd___eu_,action:flag.state.changed,system:elsewhere");
    assert_eq!(line["ddsource"], "flagtrail");
    assert_eq!(line["message"], hostile()["log"]);
    assert_eq!(line["flagtrail"]["id"], "record-id");
    let without = &body(&sent(&BodyFormat::Datadog, full_with(json!({"environment": null}))))[0];
    assert_eq!(without["ddtags"], "action:flag.state.changed,system:elsewhere");
}
