//! Reading a campaign file, and what its settings must fulfil together.

use super::*;
use crate::campaign::engines::EngineKind;
use crate::explore::{Signal, Way};
use nepal::nep::d3::D3;

impl Config {
    /// Reads and checks a campaign file.
    ///
    /// **Errors**: [`Error::Io`]; [`Error::InvalidArgument`] naming file, key, value and what is
    /// allowed.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        let wrong = |e: &dyn std::fmt::Display| {
            Error::invalid(format!("{}: {}", path.display(), e.to_string().trim()))
        };
        let config: Self = toml::from_str(&text)
            .map_err(|e| wrong(&crate::label::suggest(e.to_string().trim())))?;
        let table: toml::Table = toml::from_str(&text).map_err(|e| wrong(&e))?;
        let table = toml::Value::Table(table);
        limits::numbers("", &table).map_err(|e| wrong(&e))?;
        crate::label::all_read("", &table, &config).map_err(|e| wrong(&e))?;
        config.check().map_err(|e| wrong(&e))?;
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        let bad = |message: String| Err(Error::invalid(message));
        if self.initial.is_empty() {
            return bad("initial: at least one [[initial]] source of structures is needed".into());
        }
        if self.explore.is_empty() {
            return bad("explore: at least one [[explore]] scenario is needed".into());
        }
        let g = &self.grade;
        if !(g.save >= 1.0 && g.break_ > g.save) {
            return bad(format!(
                "grade: expected 1 <= save < break, found save = {} and break = {}",
                g.save, g.break_
            ));
        }
        if g.every == 0 {
            return bad("grade.every: expected at least 1, found 0".into());
        }
        if g.max_breaks == 0 {
            return bad(
                "grade.max_breaks: expected at least 1, found 0; every run would end where it begins"
                    .into(),
            );
        }
        self.check_limits()?;
        self.check_baseline()?;
        self.check_launch()?;
        self.check_committee()?;
        self.scheduler.validate()?;
        if !(0.0..=1.0).contains(&self.label.max_rejected) || self.label.control_hours.is_nan() {
            return bad(format!(
                "label: max_rejected must be between 0 and 1 (found {}), control_hours a number",
                self.label.max_rejected
            ));
        }
        if self.stop.clean_rounds == 0 || self.stop.max_rounds == 0 {
            return bad("stop: clean_rounds and max_rounds must be at least 1".into());
        }
        let wants = [
            (
                Rule::Canary,
                "canary_force",
                self.stop.canary_force.is_some(),
            ),
            (
                Rule::Uncertainty,
                "force_std",
                self.stop.force_std.is_some(),
            ),
            (Rule::Properties, "crystal", self.stop.crystal.is_some()),
        ];
        for (rule, key, there) in wants {
            if self.stop.goal.contains(&rule) && !there {
                return bad(format!("stop: the goal {rule:?} needs the key stop.{key}"));
            }
        }
        if self.select.max_structures == 0 {
            return bad("select.max_structures: expected at least 1, found 0".into());
        }
        self.select.check()?;
        self.fragments.check()?;
        self.check_dispersion()?;
        self.budget.check()?;
        let sources = self
            .initial
            .iter()
            .map(|s| ("initial", s))
            .chain(self.test.iter().map(|s| ("test", s)))
            .chain(self.explore.iter().map(|s| ("explore.start", &s.start)))
            .chain(self.stop.crystal.iter().map(|s| ("stop.crystal", s)))
            .chain(
                (self.validate.iter())
                    .flat_map(|v| &v.crystal)
                    .map(|s| ("validate.crystal", s)),
            )
            .chain(
                (self.validate.iter())
                    .flat_map(|v| &v.properties)
                    .flat_map(|p| {
                        p.crystals
                            .iter()
                            .map(|s| ("validate.properties.crystals", s))
                    }),
            )
            .chain(
                (self.validate.iter())
                    .flat_map(|v| &v.minima)
                    .flat_map(|m| m.starts.iter().map(|s| ("validate.minima.starts", s))),
            );
        for (place, source) in sources {
            source
                .check(place == "explore.start")
                .and_then(|()| source.check_limits(matches!(place, "initial" | "test")))
                .map_err(|e| Error::invalid(format!("{place}: {e}")))?;
        }
        let mut names = std::collections::BTreeSet::new();
        for s in &self.explore {
            let plain = s
                .name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
            if s.name.is_empty() || !plain || !names.insert(&s.name) {
                return bad(format!(
                    "explore.name: expected unique names of letters, digits, '-', '_' and '.', found {:?}",
                    s.name
                ));
            }
            if let Some(engine) = &s.engine {
                engine
                    .check()
                    .map_err(|e| Error::invalid(format!("explore {}: {e}", s.name)))?;
            }
            let cut = s.engine.as_ref().is_some_and(|e| e.fragments);
            if cut && self.fragments.needs_own_cutting() {
                return bad(format!(
                    "explore {}: fragments that LAMMPS cuts know no formal charges and no mode; leave out \
                     engine.fragments, so that they are cut here, or charges, allow_charge and mode in [fragments]",
                    s.name
                ));
            }
            s.way
                .validate()
                .map_err(|e| Error::invalid(format!("explore {}: {e}", s.name)))?;
            match (&s.engine, &s.way) {
                (None, _) | (_, Way::Dynamics) => {}
                (Some(engine), Way::Hal(hal))
                    if engine.kind == EngineKind::Lammps && !engine.fragments =>
                {
                    hal.check_for_lammps()
                        .map_err(|e| Error::invalid(format!("explore {}: {e}", s.name)))?;
                }
                _ => {
                    return bad(format!(
                        "explore {}: the way belongs to the built-in dynamics (hal also to LAMMPS, without fragments); drop `engine`, or `way`",
                        s.name
                    ));
                }
            }
            s.check_moves()
                .map_err(|e| Error::invalid(format!("explore {}: {e}", s.name)))?;
            if !["nve", "langevin", "svr", "npt"].contains(&s.ensemble.as_str()) {
                return bad(format!(
                    "explore {}: ensemble is {:?}; allowed are nve, langevin, svr and npt",
                    s.name, s.ensemble
                ));
            }
            let stages = || (0..=s.ladder.len()).map(|n| s.stage(n));
            let cold = |t: &f64| !(*t > 0.0 && t.is_finite());
            if let Some(t) = stages().flat_map(|r| r.temperature).find(cold) {
                return bad(format!(
                    "explore {}: temperature: expected positive numbers (K), found {t}",
                    s.name
                ));
            }
            if !(f64::MIN_POSITIVE..=0.1).contains(&s.timestep) {
                return bad(format!(
                    "explore {}: timestep: expected a positive number of at most 0.1 ps, found {}; 1 fs is 0.001",
                    s.name, s.timestep
                ));
            }
            let none = [
                ("steps", stages().any(|r| r.steps == 0)),
                ("replicas", s.replicas == 0),
            ];
            if let Some((key, _)) = none.iter().find(|(_, none)| *none) {
                return bad(format!(
                    "explore {}: {key}: expected at least 1, found 0",
                    s.name
                ));
            }
            if stages().any(|r| !r.strain.iter().all(|e| e.abs() <= 0.5)) {
                return bad(format!(
                    "explore {}: expected six numbers of strain (xx yy zz yz xz xy), none beyond 0.5",
                    s.name
                ));
            }
        }
        let drawn = self.validate.as_ref().is_some_and(|v| v.frames > 0);
        if drawn && !self.explore.iter().any(|s| s.way.is_dynamics()) {
            return bad(
                "validate.frames: they are drawn from scenarios of dynamics, and there is none; add one, or set \
                 frames = 0"
                    .into(),
            );
        }
        Ok(())
    }
}

impl Config {
    /// The dispersion that dynamics have on top of the model.
    ///
    /// **Errors**: [`Error::InvalidArgument`] for what is no D3.
    pub(in crate::campaign) fn dispersion(&self) -> Result<Option<D3>> {
        let text = self.model.dftd3.as_deref();
        text.map(str::parse)
            .transpose()
            .map_err(|e| Error::invalid(format!("model.dftd3: {e}")))
    }

    fn check_dispersion(&self) -> Result<()> {
        let other =
            |s: &&Scenario| (s.engine.as_ref()).is_some_and(|e| e.kind == EngineKind::Python);
        match (self.dispersion()?, self.explore.iter().find(other)) {
            (Some(_), Some(s)) => Err(Error::invalid(format!(
                "explore {}: a Python engine gets the model without model.dftd3; leave it out, or explore by \
                 another engine",
                s.name
            ))),
            _ => Ok(()),
        }
    }

    /// Processes that are launched train on processors.
    fn check_launch(&self) -> Result<()> {
        match self.model.device {
            Device::Number(_) if !self.model.launch.is_empty() => Err(Error::invalid(
                "model.launch: the processes that it starts train on processors; drop `launch`, or `device`",
            )),
            _ => Ok(()),
        }
    }

    /// A committee has members that differ.
    fn check_committee(&self) -> Result<()> {
        if self.model.committee < 2 {
            return Err(Error::invalid(format!(
                "model.committee: expected at least 2 models, the campaign's own among them, found {}",
                self.model.committee
            )));
        }
        let by = |s: &&Scenario| s.way.goes_by(Signal::Committee);
        match (self.explore.iter().find(by), &self.model.start) {
            (Some(s), Some(start)) => Err(Error::invalid(format!(
                "explore {}: a committee of models that all start from {} would agree where it is wrong; go by \
                 signal = \"sigma\", or leave out model.start",
                s.name,
                start.display()
            ))),
            _ => Ok(()),
        }
    }

    /// What knows the model alone cannot go with a baseline.
    fn check_baseline(&self) -> Result<()> {
        let Some(spec) = &self.model.baseline else {
            return Ok(());
        };
        let bad = |message: String| Err(Error::invalid(format!("model.baseline: {message}")));
        if spec.starts_with("keys") {
            return bad(
                "exploration needs it for new structures, which frames with keys do not give; name a nep.txt, or a \
                 .toml file with the keys of a [label] table"
                    .into(),
            );
        }
        if let Some(s) = self.explore.iter().find(|s| s.engine.is_some()) {
            return bad(format!(
                "the engine of the scenario {} would run the model without it; drop `engine`, so that the built-in \
                 dynamics goes by the sum",
                s.name
            ));
        }
        if self.select.method == Method::Almomd {
            return bad(
                "select.method = \"almomd\" asks the model alone for energies; choose another method".into(),
            );
        }
        Ok(())
    }
}

impl SelectConfig {
    fn check(&self) -> Result<()> {
        let finite = self.cost_exponent.is_none_or(|p| (0.0..=4.0).contains(&p));
        if !finite || !(0.0..1.0).contains(&self.duplicate) || self.targets_per_frame == 0 {
            return Err(Error::invalid(format!(
                "select: expected 0 <= cost_exponent <= 4, 0 <= duplicate < 1 and targets_per_frame of at least 1, found {:?}, {} and {}",
                self.cost_exponent, self.duplicate, self.targets_per_frame
            )));
        }
        Ok(())
    }
}

impl BudgetConfig {
    fn check(&self) -> Result<()> {
        let positive = |x: Option<f64>| x.is_none_or(|x| x > 0.0 && x.is_finite());
        if !positive(self.core_hours) || !positive(self.money) {
            return Err(Error::invalid(
                "budget: core_hours and money must be positive numbers",
            ));
        }
        if self.money.is_some() && !(self.price > 0.0 && self.price.is_finite()) {
            return Err(Error::invalid(format!(
                "budget.price: a budget in money needs the price of a core hour, found {}",
                self.price
            )));
        }
        Ok(())
    }
}

impl Melt {
    fn makes_sense(&self) -> bool {
        let calm = self.timestep > 0.0 && self.timestep <= 0.1;
        self.temperature > 0.0 && self.temperature.is_finite() && self.steps > 0 && calm
    }
}

impl Source {
    /// Files that the structures depend on.
    pub(in crate::campaign) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.file
            .iter()
            .chain(self.melt.iter().map(|m| &m.potential))
            .chain(self.harmonic.iter().filter_map(|h| h.potential.as_ref()))
    }

    /// Whether structures are made or changed, rather than taken as they are.
    pub(in crate::campaign) fn changes(&self) -> bool {
        self.volume_strain != 0.0
            || self.strain != 0.0
            || self.rattle != 0.0
            || self.vacancies + self.interstitials + self.antisites > 0
            || self.slab.is_some()
            || self.melt.is_some()
            || self.harmonic.is_some()
            || self.repeat != [1; 3]
            || self.composition.is_some()
            || self.count != 1
    }

    /// `has_model` where the round's model is at hand when structures are made.
    fn check(&self, has_model: bool) -> Result<()> {
        if let Some(composition) = &self.composition {
            composition.check(self)?;
        }
        if let Some(h) = &self.harmonic {
            if !(h.temperature > 0.0 && h.temperature.is_finite()) || self.melt.is_some() {
                return Err(Error::invalid(
                    "harmonic: expected a positive temperature (K), and no melt beside it",
                ));
            }
            if h.potential.is_none() && !has_model {
                return Err(Error::invalid(
                    "harmonic: before the first round there is no model whose force constants could be taken; name one \
                     as potential = \"nep.txt\"",
                ));
            }
        }
        match (&self.file, &self.prototype) {
            _ if self.melt.as_ref().is_some_and(|m| !m.makes_sense()) => Err(Error::invalid(
                "melt: expected a positive temperature (K), at least one step and a timestep of at most 0.1 ps",
            )),
            (Some(_), None) if self.labelled && self.changes() => Err(Error::invalid(
                "labelled = true goes with structures as they are in the file; changed ones have other labels",
            )),
            (Some(_), None) => Ok(()),
            (None, Some(_)) if self.labelled => Err(Error::invalid(
                "labelled = true goes with a file; generated structures have no labels",
            )),
            (None, Some(name)) => {
                if self.elements.is_empty() || !(self.lattice > 0.0) || self.count == 0 {
                    return Err(Error::invalid(format!(
                        "prototype {name:?} needs elements = [...], lattice > 0 (Å) and count >= 1"
                    )));
                }
                Ok(())
            }
            _ => Err(Error::invalid(
                "a source of structures is either file = \"...\" or prototype = \"...\"",
            )),
        }
    }
}
