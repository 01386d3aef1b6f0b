//! What labels have cost, and what is left of the budgets.

use super::Campaign;
use super::config::Config;
use super::ground::Context;
use super::store::{LabelRecord, read_json};
use nepal::error::Result;

/// Seconds of an hour.
const HOUR: f64 = 3600.0;

/// What was spent on labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Spent {
    /// Structures handed over, test set included.
    pub labels: usize,
    /// Core hours of labels that were computed.
    pub core_hours: f64,
    /// Their price.
    pub money: f64,
}

/// Which budget is used up, in words, and how many more labels the budgets allow.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Allowance {
    pub labels: usize,
    pub limit: Option<String>,
}

impl Spent {
    /// Adds the labels of a round, of some cores each where the round does not tell.
    pub(super) fn add(&mut self, record: &LabelRecord, cores: usize, price: f64) {
        self.labels += record.requested;
        let cores = match record.cores {
            0 => cores,
            own => own,
        };
        let hours = record.seconds * cores.max(1) as f64 / HOUR;
        self.core_hours += hours;
        self.money += hours * price;
    }

    /// What rounds may still spend, with some labels set apart for the end; the mean cost so far tells what a label will
    /// cost.
    pub(super) fn allowance(&self, config: &Config, reserved: usize) -> Allowance {
        let budget = &config.budget;
        let kept = match reserved {
            0 => String::new(),
            n => format!(", {n} set apart for the end"),
        };
        let limit = |what: &str| {
            Some(format!(
                "{what} is spent ({} labels so far{kept})",
                self.labels
            ))
        };
        let mut left = Allowance {
            labels: (config.stop.max_labels).saturating_sub(self.labels + reserved),
            limit: None,
        };
        if left.labels == 0 {
            left.limit = limit(&format!("the budget of {} labels", config.stop.max_labels));
        }
        let per_label = self.core_hours / self.labels.max(1) as f64;
        let budgets = [
            (budget.core_hours, self.core_hours, per_label, "core hours"),
            (
                budget.money,
                self.money,
                per_label * budget.price,
                budget.currency.as_str(),
            ),
        ];
        for (total, spent, each, unit) in budgets {
            let Some(total) = total else { continue };
            let affordable = if each > 0.0 {
                (((total - spent).max(0.0) / each) as usize).saturating_sub(reserved)
            } else {
                usize::MAX
            };
            if affordable == 0 && left.limit.is_none() {
                left.limit = Some(format!(
                    "the budget of {total} {unit} is spent ({spent:.3} {unit} for {} labels; another costs about {each:.3}{kept})",
                    self.labels
                ));
            }
            left.labels = left.labels.min(affordable);
        }
        left
    }
}

impl Campaign {
    /// Cores that a label keeps busy.
    ///
    /// **Errors**: those of [`Campaign::labeller`].
    pub(super) fn label_cores(&self) -> Result<usize> {
        match self.config.scheduler.cores {
            Some(cores) => Ok(cores),
            None => Ok(self.labeller()?.cores()),
        }
    }

    /// What all labels so far have cost, those at the end among them.
    pub(super) fn spent_in_all(&self, rounds: usize) -> Result<Spent> {
        let mut spent = match rounds {
            0 => Spent::default(),
            n => self.spent(n - 1)?,
        };
        if let Some(record) = self.final_labels()? {
            spent.add(
                &record,
                self.label_cores().unwrap_or(1),
                self.config.budget.price,
            );
        }
        Ok(spent)
    }

    /// What the labels of all rounds up to this one have cost.
    pub(super) fn spent(&self, round: usize) -> Result<Spent> {
        let cores = self.label_cores().unwrap_or(1);
        let mut spent = Spent::default();
        for round in 0..=round {
            let context = Context::new(self, round);
            let record: LabelRecord = read_json(&context.path("labels.json"))?;
            spent.add(&record, cores, self.config.budget.price);
        }
        Ok(spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        toml::from_str(&format!(
            "title='t'\ninitial=[]\nexplore=[]\n[model]\nnep_in=''\nfirst_epochs=1\nepochs=1\n[label]\nkind='stillinger-weber'\n{more}"
        ))
        .unwrap()
    }

    #[test]
    fn budgets_run_out_with_a_reason() {
        let mut spent = Spent::default();
        let round = LabelRecord {
            requested: 10,
            seconds: 1800.0,
            ..LabelRecord::default()
        };
        spent.add(&round, 4, 0.5);
        assert_eq!(
            (spent.labels, spent.core_hours, spent.money),
            (10, 2.0, 1.0)
        );
        let free = spent.allowance(&config(""), 0);
        assert!(free.limit.is_none() && free.labels > 1_000_000);
        // 0.2 core hours a label: 1.1 core hours are good for five.
        let some = spent.allowance(&config("[budget]\ncore_hours = 3.1"), 0);
        assert_eq!((some.labels, some.limit), (5, None));
        let money = spent.allowance(
            &config("[budget]\nmoney = 1.05\nprice = 0.5\ncurrency = 'EUR'"),
            0,
        );
        assert_eq!(money.labels, 0);
        assert!(
            money
                .limit
                .unwrap()
                .starts_with("the budget of 1.05 EUR is spent")
        );
        let labels = spent.allowance(&config("[stop]\nmax_labels = 10"), 0);
        assert!(labels.limit.unwrap().contains("10 labels is spent"));
        assert_eq!(
            spent
                .allowance(&config("[stop]\nmax_labels = 12"), 0)
                .labels,
            2
        );
        // What is for the end is no round's.
        let apart = spent.allowance(&config("[stop]\nmax_labels = 12"), 2);
        assert!(apart.limit.unwrap().contains("2 set apart"));
        let some = spent.allowance(&config("[budget]\ncore_hours = 3.1"), 4);
        assert_eq!(some.labels, 1);
    }
}
