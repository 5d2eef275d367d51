//! The dialects from outside: requests in, drafts out.

mod harness;
mod recording;

mod abtasty;
mod catalogue;
mod cloudevents;
mod faithful;
mod flagsmith;
mod mozhno;
mod native;
mod outbound;
mod unleash;
mod zenmanage;
