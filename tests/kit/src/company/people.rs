//! Three hundred people: what they are called, and what each platform calls them.

use super::random::Random;
use super::year::{Moment, begin};

/// How many there are.
pub(super) const PEOPLE: usize = 300;

const FIRST: [&str; 24] = [
    "Ada", "Bruno", "Chiara", "Dmitri", "Elif", "Femi", "Grace", "Hannes", "Ingrid", "José", "Kateryna",
    "Linh", "Mateusz", "Nadia", "Olu", "Priya", "Quentin", "Rosa", "Søren", "Tomoko", "Ursula", "Viktor",
    "Wanjiru", "Zoë",
];
const LAST: [&str; 25] = [
    "Adeyemi",
    "Bianchi",
    "Castro",
    "Dubois",
    "Eriksen",
    "Fischer",
    "García",
    "Hernández",
    "Ivanov",
    "Jensen",
    "Kowalski",
    "Larsen",
    "Müller",
    "Nakamura",
    "O'Brien",
    "Petrov",
    "Quinn",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Ueda",
    "Vargas",
    "Weber",
    "Yıldız",
    "Zhou",
];

/// Somebody who works there, or did.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) number: usize,
    pub(super) name: String,
    /// From when on they have had which address, the first first.
    pub(super) emails: Vec<(Moment, String)>,
}

impl Person {
    /// The address at a moment.
    pub(super) fn email_at(&self, at: Moment) -> &str {
        let known = self.emails.iter().rev().find(|(from, _)| *from <= at).or(self.emails.first());
        known.map_or("", |(_, email)| email)
    }

    /// Their id at Flagsmith.
    pub(super) fn flagsmith_id(&self) -> u64 {
        1_000 + self.number as u64
    }

    /// Their id at Unleash, which somebody else has at Flagsmith.
    pub(super) fn unleash_id(&self) -> u64 {
        1_000 + (PEOPLE - self.number) as u64
    }

    /// Their id at mozhno.
    pub(super) fn mozhno_id(&self) -> u64 {
        500 + self.number as u64
    }
}

/// All of them. No two share an address; of 300 names some are the same.
pub(super) fn hire(random: &mut Random) -> Vec<Person> {
    (0..PEOPLE)
        .map(|number| {
            let name = format!("{} {}", random.one_of(&FIRST), random.one_of(&LAST));
            let local: String = name.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect();
            let emails = vec![(begin(), format!("{local}.{number}@brightwater.example"))];
            Person { number, name, emails }
        })
        .collect()
}
