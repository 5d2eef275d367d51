//! What the platforms that we know never tell, so that nobody takes silence for proof.

/// What is known of a platform's events.
pub(crate) struct Platform {
    /// Whether it sends who was given and who lost access.
    pub(crate) sends_access: bool,
    /// What it does not tell, in sentences.
    pub(crate) cannot_tell: &'static [&'static str],
}

const FLAGSMITH: Platform = Platform {
    sends_access: false,
    cannot_tell: &[
        "Flagsmith sends no role, membership, permission or invitation event at all.",
        "A change by an organisation API key has no author in its audit entries.",
        "The deletion of a project or an organisation sends nothing; that of an environment reads like deleted flags.",
        "Who deleted a flag stands in its audit entry alone: FLAG_DELETED names who changed it last.",
        "Audit entries carry no old and new value; FLAG_UPDATED does, and shows the state when it was sent.",
        "Keys, webhooks, logins and project settings are not audited.",
    ],
};

const UNLEASH: Platform = Platform {
    sends_access: true,
    cannot_tell: &[
        "Unleash's integration offers flag and change-request events alone in its settings: access, user, role and token events arrive only where it was subscribed to them through the API.",
        "Unleash signs nothing: who knows a source's token can send events in its name.",
        "All admin tokens of Unleash share one user id; logins are not sent.",
    ],
};

const ZENMANAGE: Platform = Platform {
    sends_access: false,
    cannot_tell: &[
        "Zenmanage names no author at all.",
        "Zenmanage sends changes of targets and rules alone: no access, approval or key event.",
    ],
};

const ABTASTY: Platform = Platform {
    sends_access: true,
    cannot_tell: &[
        "AB Tasty signs nothing: who knows a source's token can send events in its name.",
        "Its events carry no id and no old value; a removal of access names no role.",
    ],
};

const MOZHNO: Platform = Platform {
    sends_access: false,
    cannot_tell: &[
        "mozhno sends no user, role or access event to webhooks.",
        "mozhno tells no old and no new value; its time is that of the sending.",
    ],
};

/// Records that a program of the user's appends itself, and whatever comes as CloudEvents or by a mapping: it may tell of
/// anything.
const OPEN: Platform = Platform {
    sends_access: true,
    cannot_tell: &["What its sender does not append is not here; nothing says what that might be."],
};

/// By the `system` that records of it have.
pub(crate) fn platform(system: &str) -> &'static Platform {
    match system {
        "flagsmith" => &FLAGSMITH,
        "unleash" => &UNLEASH,
        "zenmanage" => &ZENMANAGE,
        "abtasty" => &ABTASTY,
        "mozhno" => &MOZHNO,
        _ => &OPEN,
    }
}
