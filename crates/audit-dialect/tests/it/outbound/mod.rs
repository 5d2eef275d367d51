//! Records out: in the words of other systems.

mod coverage;
mod flagsmith;
mod formats;
mod hostile;
mod mozhno;
mod ocsf;
mod same_platform;
mod samples;
mod template;
