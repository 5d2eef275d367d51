//! The dialects from outside: requests in, drafts out.

mod harness;

mod abtasty;
mod cloudevents;
mod flagsmith;
mod mozhno;
mod native;
mod unleash;
mod zenmanage;
