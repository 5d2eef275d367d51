//! Consumer: matches records to endpoints, signs, delivers, retries.
