//! One record of each kind, to be read by people.

use audit_dialect::Platform;
use rstest::rstest;

use crate::harness::{matches_snapshot, shown};
use crate::recording;

#[rstest]
#[case("flag_created", "005")]
#[case("flag_created_in_an_environment", "006")]
#[case("flag_created_with_a_name_full_of_marks", "016")]
#[case("flag_updated", "144")]
#[case("flag_deleted", "162")]
#[case("flag_deleted_in_an_environment", "160")]
#[case("flag_deleted_in_an_environment_that_was_deleted", "270")]
#[case("flag_deleted_by_an_api_key", "788")]
#[case("variant_added", "042")]
#[case("variant_removed", "140")]
#[case("state_changed", "105")]
#[case("state_changed_by_an_api_key", "546")]
#[case("value_changed", "077")]
#[case("segment_override_created_or_changed", "178")]
#[case("segment_override_value_changed", "183")]
#[case("segment_override_removed", "220")]
#[case("segment_overrides_reordered", "210")]
#[case("identity_override_created_or_changed", "223")]
#[case("identity_override_value_changed", "228")]
#[case("identity_override_removed", "242")]
#[case("segment_created", "164")]
#[case("segment_changed_and_told_as_created", "166")]
#[case("segment_updated", "177")]
#[case("segment_deleted", "219")]
#[case("environment_created", "254")]
#[case("environment_updated", "256")]
#[case("version_published", "282")]
#[case("change_request_created", "629")]
#[case("change_request_approved", "631")]
#[case("change_request_committed", "642")]
#[case("flag_changed_by_a_change_request", "633")]
#[case("health_provider_removed", "733")]
#[case("test_request", "001")]
fn an_audit_entry(#[case] name: &str, #[case] number: &str) {
    snapshot(&format!("flagsmith.audit.{name}"), number);
}

#[rstest]
#[case("first_state_of_a_new_flag", "007")]
#[case("first_state_of_a_new_multivariate_flag", "038")]
#[case("state_and_value_changed", "080")]
#[case("state_and_value_changed_in_the_web_ui", "103")]
#[case("state_changed", "113")]
#[case("state_changed_and_told_with_an_older_value", "344")]
#[case("value_and_state_changed_and_told_with_an_older_state", "740")]
#[case("value_changed", "074")]
#[case("value_became_a_number", "091")]
#[case("value_became_a_boolean", "096")]
#[case("value_became_null", "779")]
#[case("variant_shares_changed", "124")]
#[case("changed_by_an_api_key", "553")]
#[case("changed_by_a_change_request", "635")]
#[case("changed_by_a_scheduled_change_request", "646")]
#[case("segment_override_created", "181")]
#[case("segment_override_changed", "189")]
#[case("identity_override_created", "225")]
#[case("identity_override_changed", "236")]
#[case("in_a_versioned_environment", "410")]
#[case("flag_deleted", "784")]
#[case("test_request", "003")]
fn a_state_event(#[case] name: &str, #[case] number: &str) {
    snapshot(&format!("flagsmith.state.{name}"), number);
}

#[rstest]
#[case("by_a_user", "407")]
#[case("of_a_multivariate_flag", "437")]
#[case("by_an_api_key", "559")]
fn a_version_event(#[case] name: &str, #[case] number: &str) {
    snapshot(&format!("flagsmith.version.{name}"), number);
}

/// The settings of project and environment, 17 keys each, stand in one snapshot only.
fn snapshot(name: &str, number: &str) {
    let recording = recording::numbered(Platform::Flagsmith, number);
    let mut record = recording.hook().record().into_draft();
    if number != "160" {
        for settings in ["project", "environment"] {
            if let Some(settings) = record.attributes.get_mut(settings) {
                *settings = "(its settings, as sent)".into();
            }
        }
    }
    matches_snapshot(name, &recording.name, &shown(record));
}
