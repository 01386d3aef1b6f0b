//! Numbers that no campaign means: what would fail, or cost, after labels were paid for.

use super::*;

/// Sizes that numbers have in any unit.
const SIZES: [f64; 2] = [1e-20, 1e15];
/// Most threads of a process.
const THREADS: usize = 1024;
/// Most cores of a label.
const CORES: usize = 1_000_000;
/// Most walkers of a scenario.
const REPLICAS: usize = 10_000;
/// Highest temperature of a scenario, K: nothing is bound there.
const HOT: f64 = 1e5;
/// Most steps of a run.
const STEPS: usize = 1_000_000_000_000;
/// Smallest lattice constant, Å: less than any bond.
const LATTICE: f64 = 1.0;
/// Most cells of a structure that is labelled as it is, and of one that is explored.
const CELLS: [usize; 2] = [999, 100_000];
/// Most structures of a source.
const COUNT: usize = 100_000;
/// Fewest volumes that tell an equation of state.
const VOLUMES: usize = 5;

/// Refuses what is no number, wherever it stands; without end may only be what is a limit itself.
pub(super) fn numbers(place: &str, value: &toml::Value) -> Result<()> {
    match value {
        toml::Value::Float(x) => {
            let limit = place.ends_with("break") || place.starts_with("label.limits");
            if x.is_nan() || x.is_infinite() && !limit {
                return Err(Error::invalid(format!(
                    "{place}: expected a number, found {x}"
                )));
            }
            let size = x.abs();
            if size.is_finite() && size != 0.0 && !(SIZES[0]..=SIZES[1]).contains(&size) {
                return Err(Error::invalid(format!(
                    "{place}: expected a size between {:e} and {:e}, or 0, found {x:e}",
                    SIZES[0], SIZES[1]
                )));
            }
            Ok(())
        }
        toml::Value::Table(table) => table.iter().try_for_each(|(key, value)| match place {
            "" => numbers(key, value),
            _ => numbers(&format!("{place}.{key}"), value),
        }),
        toml::Value::Array(list) => list.iter().try_for_each(|value| numbers(place, value)),
        _ => Ok(()),
    }
}

/// Whether a supercell has between one and so many cells.
fn within(repeat: &[usize; 3], most: usize) -> bool {
    let cells = (repeat.iter()).try_fold(1_usize, |n, &m| n.checked_mul(m));
    cells.is_some_and(|n| (1..=most).contains(&n))
}

impl Config {
    /// Refuses settings that no campaign can mean.
    pub(super) fn check_limits(&self) -> Result<()> {
        let bad = |message: String| Err(Error::invalid(message));
        if self.threads > THREADS {
            return bad(format!(
                "threads: expected at most {THREADS}, found {}; 0 takes all of the machine",
                self.threads
            ));
        }
        let label = &self.label;
        if label.parallel == 0 || label.parallel > THREADS {
            return bad(format!(
                "label.parallel: expected between 1 and {THREADS}, found {}",
                label.parallel
            ));
        }
        // Whatever the method: a program on no core is none.
        let method = serde_json::to_value(&label.method)
            .map_err(|e| Error::Internal(format!("settings of the label method: {e}")))?;
        for (key, most) in [("cores", CORES), ("processes", CORES), ("threads", THREADS)] {
            let found = method.get(key).and_then(serde_json::Value::as_u64);
            if let Some(found) = found.filter(|n| *n == 0 || *n > most as u64) {
                return bad(format!(
                    "label.{key}: expected between 1 and {most}, found {found}"
                ));
            }
        }
        if let Some(s) = self.explore.iter().find(|s| s.replicas > REPLICAS) {
            return bad(format!(
                "explore {}: replicas: expected at most {REPLICAS}, found {}",
                s.name, s.replicas
            ));
        }
        if self.directory.as_os_str().is_empty() {
            return bad("directory: expected the name of a folder, found nothing".into());
        }
        for s in &self.explore {
            let mut stages = (0..=s.ladder.len()).map(|n| s.stage(n));
            let beyond = stages.find(|r| r.steps > STEPS || r.temperature.iter().any(|t| *t > HOT));
            if let Some(stage) = beyond {
                return bad(format!(
                    "explore {}: expected temperatures of at most {HOT} K and at most {STEPS} steps, found {:?} and {}",
                    s.name, stage.temperature, stage.steps
                ));
            }
        }
        let stop = &self.stop;
        if stop.max_labels == 0 || stop.canary_rounds == 0 || stop.property_rounds == 0 {
            return bad(format!(
                "stop: max_labels, canary_rounds and property_rounds must be at least 1, found {}, {} and {}",
                stop.max_labels, stop.canary_rounds, stop.property_rounds
            ));
        }
        let positive = [
            ("stop.canary_force", stop.canary_force),
            ("stop.force_std", stop.force_std),
            ("stop.learning_gain", Some(stop.learning_gain)),
            ("stop.property_tolerance", Some(stop.property_tolerance)),
        ];
        for (key, value) in positive {
            if let Some(value) = value.filter(|x| *x <= 0.0) {
                return bad(format!("{key}: expected a positive number, found {value}"));
            }
        }
        if self.budget.price < 0.0 {
            return bad(format!(
                "budget.price: expected no negative number, found {}",
                self.budget.price
            ));
        }
        if self.model.first_epochs == 0 || self.model.epochs == 0 {
            return bad("model: first_epochs and epochs must be at least 1".into());
        }
        if let Some(validate) = &self.validate {
            validate.check(&label.method)?;
        }
        Ok(())
    }
}

impl ValidateConfig {
    fn check(&self, method: &LabellerConfig) -> Result<()> {
        use LabellerConfig as L;
        // Those that are potentials themselves.
        if self.crystal.is_some() && !matches!(method, L::StillingerWeber(_) | L::Nep(_)) {
            return Err(Error::invalid(
                "validate: it runs dynamics with the reference method, which only the kinds stillinger-weber and nep \
                 are fast enough for; remove crystal, or the table [validate]",
            ));
        }
        match &self.minima {
            None if self.crystal.is_none() && self.properties.is_none() && self.frames == 0 => {
                return Err(Error::invalid(
                    "validate: expected at least one of frames, a crystal, and the tables [validate.properties] and \
                     [validate.minima]",
                ));
            }
            Some(m)
                if m.relax_steps == 0 || !(m.distance > 0.0) || m.frames + m.starts.len() == 0 =>
            {
                return Err(Error::invalid(format!(
                    "validate.minima: expected structures to quench, at least one step and a positive distance (Å), found \
                     frames = {}, relax_steps = {} and distance = {}",
                    m.frames, m.relax_steps, m.distance
                )));
            }
            _ => {}
        }
        self.properties
            .as_ref()
            .map_or(Ok(()), PropertiesConfig::check)?;
        if self.crystal.is_none() && (self.liquid.is_some() || !self.temperatures.is_empty()) {
            return Err(Error::invalid(
                "validate: temperatures and liquid are those of dynamics of a crystal; name it as crystal = { ... }",
            ));
        }
        let hot = self.temperatures.iter().chain(&self.liquid);
        if self.steps == 0 || hot.into_iter().any(|t| *t <= 0.0) {
            return Err(Error::invalid(
                "validate: expected positive temperatures (K) and at least one step",
            ));
        }
        Ok(())
    }
}

impl PropertiesConfig {
    fn check(&self) -> Result<()> {
        let bad = |message: String| Err(Error::invalid(format!("validate.properties: {message}")));
        if self.crystals.is_empty() {
            return bad("expected crystals = [{ ... }], found none".into());
        }
        if (1..VOLUMES).contains(&self.volumes) || self.volumes > COUNT {
            return bad(format!(
                "volumes: expected at least {VOLUMES} for an equation of state, or 0 for none, found {}",
                self.volumes
            ));
        }
        for (key, value, most) in [
            ("volume_range", self.volume_range, 0.5),
            ("strain", self.strain, 0.1),
            ("displacement", self.displacement, 0.5),
        ] {
            if !(value > 0.0 && value <= most) {
                return bad(format!(
                    "{key}: expected a positive number of at most {most}, found {value}"
                ));
            }
        }
        if let Some(n) = self.phonons.filter(|n| !within(n, CELLS[0])) {
            return bad(format!(
                "phonons: expected a supercell of 1 to {} cells, found {n:?}",
                CELLS[0]
            ));
        }
        if self.volumes == 0 && !self.elastic && self.phonons.is_none() {
            return bad("nothing is asked for; set volumes, elastic or phonons".into());
        }
        Ok(())
    }
}

impl Source {
    /// Refuses numbers that no structure can mean; `whole` for those that are labelled as they are.
    pub(super) fn check_limits(&self, whole: bool) -> Result<()> {
        let bad = |message: String| Err(Error::invalid(message));
        if self.prototype.is_some() && self.lattice < LATTICE {
            return bad(format!(
                "lattice: expected at least {LATTICE} Å, found {} (lengths are in Å)",
                self.lattice
            ));
        }
        let most = CELLS[usize::from(!whole)];
        if !within(&self.repeat, most) {
            return bad(format!(
                "repeat: expected between 1 and {most} cells, found {:?}{}",
                self.repeat,
                if whole {
                    "; all of it would be labelled"
                } else {
                    ""
                }
            ));
        }
        if self.count > COUNT {
            return bad(format!(
                "count: expected at most {COUNT}, found {}",
                self.count
            ));
        }
        for (key, value) in [
            ("volume_strain", self.volume_strain),
            ("strain", self.strain),
            ("rattle", self.rattle),
        ] {
            if !(0.0..=10.0).contains(&value) {
                return bad(format!(
                    "{key}: expected no negative number, and at most 10; found {value}"
                ));
            }
        }
        if let Some(slab) = &self.slab
            && (slab.layers == 0 || !(0.0..=1000.0).contains(&slab.vacuum))
        {
            return bad(format!(
                "slab: expected at least one layer and between 0 and 1000 Å of vacuum, found {} and {}",
                slab.layers, slab.vacuum
            ));
        }
        Ok(())
    }
}
