//! `nep.in`: GPUMD's training input, and a few keywords of our own.

mod keywords;

use super::data::BadData;
pub use super::optimize::Layer;
use super::robust::RobustLoss;
use nepal::element::Element;
use nepal::error::{Error, Result};
use nepal::model::{Cutoff, Header, Kind, ManyBody, Version, Zbl};
use std::path::{Path, PathBuf};

/// What is taken off the energies before training: the keyword `energy_reference`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EnergyReference {
    /// Nothing.
    #[default]
    None,
    /// The least-squares energy of each element.
    Fit,
    /// The energies of the frames with one atom.
    Atoms,
}

impl EnergyReference {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Fit, Self::Atoms];

    /// The word of the settings.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Fit => "fit",
            Self::Atoms => "atoms",
        }
    }
}

/// How parameters are optimised: `optimizer` in `nep.in`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Optimizer {
    /// `auto`: Adam first, then Levenberg–Marquardt if what is left of the run pays for it.
    #[default]
    Auto,
    /// `adam`: Adam on small batches.
    Adam,
    /// `lm`: Levenberg–Marquardt after a short descent.
    LevenbergMarquardt,
    /// `snes`: the evolution strategy of GPUMD, for comparison.
    Evolution,
}

/// Settings of a training run, in the words of GPUMD's `nep.in`.
///
/// Keywords of our own, which GPUMD's `nep` does not know: `epochs`, `budget` (minutes), `seed`,
/// `learning_rate`, `early_stop`, `optimizer`, `force_loss` and `energy_loss` (square, huber D or cauchy D),
/// `target_error` (energy, force and possibly virial), `group_weight` (name of a `config_type`, factor),
/// `bad_data` (refuse, drop or keep), `energy_reference` (none, fit or atoms), `memory` (GB of geometry kept),
/// `freeze` (layers that stay: descriptors, hidden, output),
/// `train_zbl` (1: a flexible repulsion is trained, too), `recipe` (accurate: [`NepIn::be_accurate`] before the other
/// lines). `version` may also be 5 (one more bias per type) or 3 (one
/// network for all types).
#[derive(Clone, Debug, PartialEq)]
pub struct NepIn {
    /// `model_type` and `charge_mode`: what the model predicts.
    pub kind: Kind,
    /// Generation of the model family.
    pub version: Version,
    /// `type`: elements in the order of the model's types.
    pub elements: Vec<Element>,
    /// `cutoff`: radial and angular, Å, for all or per type.
    pub cutoff: Cutoff,
    /// `n_max`: largest index of the radial functions, radial and angular part.
    pub n_max: [usize; 2],
    /// `basis_size`: largest index of the Chebyshev basis, radial and angular part.
    pub basis_size: [usize; 2],
    /// `l_max`: largest angular momentum.
    pub l_max: usize,
    /// The flags of `l_max`.
    pub many_body: ManyBody,
    /// `neuron`: first and second hidden layer (0: none).
    pub neurons: [usize; 2],
    /// `zbl` and `use_typewise_cutoff_zbl`, or the rows of a `zbl.in` beside the file.
    pub zbl: Option<Zbl>,
    /// `train_zbl`: whether the flexible repulsion is trained with the rest.
    pub train_zbl: bool,
    /// `lambda_1`: weight of Σ|z|/n; `None`: sqrt(1e-6 n / types).
    pub lambda_1: Option<f64>,
    /// `lambda_2`: weight of sqrt(Σz²/n); `None`: as `lambda_1`.
    pub lambda_2: Option<f64>,
    /// `lambda_e`: weight of the energy error.
    pub lambda_e: f64,
    /// `lambda_f`: weight of the force error.
    pub lambda_f: f64,
    /// `lambda_v`: weight of the virial error, or of that of a dipole or polarizability.
    pub lambda_v: f64,
    /// `lambda_q`: weight of the error of the total charge, e/atom.
    pub lambda_q: f64,
    /// `lambda_z`: weight of the error of Born charges, e.
    pub lambda_z: f64,
    /// `lambda_shear`: factor on the off-diagonal virial errors.
    pub lambda_shear: f64,
    /// `force_delta`, eV/Å: larger forces count less.
    pub force_delta: f64,
    /// `type_weight`: factor on the force errors of each type.
    pub type_weight: Vec<f64>,
    /// `batch`: structures in a step; `None`: as many as have about 256 atoms.
    pub batch: Option<usize>,
    /// `epochs`: passes over the data; `None`: the default, or what the budget allows.
    pub epochs: Option<usize>,
    /// `budget` in minutes.
    pub budget: Option<f64>,
    /// `seed` of everything random.
    pub seed: Option<u64>,
    /// `learning_rate`: largest step of the optimiser.
    pub learning_rate: f64,
    /// `memory`: GB of neighbour geometry that is kept. Where not all fits, vectors to neighbours are kept, a quarter of it,
    /// and what is made of them is computed anew in each step.
    pub memory: f64,
    /// `population` of the evolution strategy.
    pub population: usize,
    /// `sigma0`: first deviation of the evolution strategy.
    pub sigma0: f64,
    /// `optimizer`: auto, adam, lm or snes.
    pub optimizer: Optimizer,
    /// `force_loss`: square, or huber or cauchy with a size in eV/Å.
    pub force_loss: RobustLoss,
    /// `energy_loss`: square, or huber or cauchy with a size in eV/atom.
    pub energy_loss: RobustLoss,
    /// `group_weight`: factor on the weights of the frames whose `config_type` is the name.
    pub group_weight: Vec<(String, f64)>,
    /// `fine_tune`: model to start from, possibly of more elements.
    pub fine_tune: Option<PathBuf>,
    /// `freeze`: layers that stay as they are in the model to start from.
    pub freeze: Vec<Layer>,
    /// `target_error`: errors at which training ends, eV/atom, eV/Å and, if given, eV/atom of the
    /// virial.
    pub target_error: Option<Vec<f64>>,
    /// `early_stop`: evaluations without a better test error after which training ends; 0: never.
    pub early_stop: usize,
    /// `bad_data`: what is done about frames that look wrong.
    pub bad_data: BadData,
    /// `energy_reference`: what is taken off the energies by element before training.
    pub energy_reference: EnergyReference,
    /// `prediction`: the model is evaluated, not trained.
    pub prediction: bool,
    /// What was read but has no effect here, in words.
    pub notes: Vec<String>,
}

impl NepIn {
    /// The defaults of GPUMD for some elements.
    pub fn new(elements: Vec<Element>) -> Self {
        let n = elements.len();
        Self {
            kind: Kind::Potential,
            version: Version::Nep4,
            elements,
            cutoff: Cutoff::Uniform([8.0, 4.0]),
            n_max: [6, 6],
            basis_size: [6, 6],
            l_max: 4,
            many_body: ManyBody::from_flags([true, false, false, false, false, false]),
            neurons: [30, 0],
            zbl: None,
            train_zbl: false,
            lambda_1: None,
            lambda_2: None,
            lambda_e: 1.0,
            lambda_f: 1.0,
            lambda_v: 0.1,
            lambda_q: 0.1,
            lambda_z: 0.5,
            lambda_shear: 1.0,
            force_delta: 0.0,
            type_weight: vec![1.0; n],
            batch: None,
            epochs: None,
            budget: None,
            seed: None,
            learning_rate: super::optimize::LEARNING_RATE,
            memory: 1.2,
            population: 50,
            sigma0: 0.1,
            optimizer: Optimizer::Auto,
            force_loss: RobustLoss::Square,
            energy_loss: RobustLoss::Square,
            group_weight: Vec::new(),
            fine_tune: None,
            freeze: Vec::new(),
            target_error: None,
            early_stop: 0,
            bad_data: BadData::default(),
            energy_reference: EnergyReference::default(),
            prediction: false,
            notes: Vec::new(),
        }
    }

    /// `recipe accurate`: small errors on unseen structures at the cost of a NEP of 50 neurons with GPUMD's default
    /// cutoffs. Terms of four bodies cost little beside the sums over neighbours that they share. Without the weight of
    /// the parameters such a model fits the training set better and everything else worse the longer it is trained
    /// (`benches/results/training.md`).
    pub fn be_accurate(&mut self) {
        self.cutoff = Cutoff::Uniform([6.0, 5.5]);
        self.n_max = [8, 6];
        self.basis_size = [8, 8];
        self.l_max = 4;
        self.many_body = ManyBody::from_flags([true, false, true, true, true, true]);
        self.neurons = [50, 0];
        self.lambda_1 = Some(0.04);
        self.lambda_2 = Some(0.04);
    }

    /// Parses the text of a `nep.in`; `name` stands for the file in messages.
    ///
    /// **Errors**: [`Error::Parse`] with the line for unknown keywords and values out of range;
    /// [`Error::Unsupported`] for kinds of models that this trainer does not make.
    pub fn parse(text: &str, name: &str) -> Result<Self> {
        keywords::parse(text, name)
    }

    /// Reads a `nep.in`, and a `zbl.in` beside it if `zbl` is used.
    ///
    /// **Errors**: as [`NepIn::parse`], and [`Error::Io`].
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        let mut config = Self::parse(&text, &path.display().to_string())?;
        if let Some(model) = &mut config.fine_tune {
            *model = path.with_file_name("").join(&*model);
        }
        let flexible = path.with_file_name("zbl.in");
        if config.zbl.is_some() && flexible.exists() {
            let text =
                std::fs::read_to_string(&flexible).map_err(|e| Error::io("read", &flexible, e))?;
            let name = flexible.display().to_string();
            let rows = keywords::flexible_zbl(&text, &name, config.elements.len())?;
            config.zbl = Some(Zbl::Flexible(rows));
        }
        Ok(config)
    }

    /// The text of a `nep.in` that gives these settings again (a flexible ZBL, which has its own
    /// file, apart).
    pub fn to_text(&self) -> String {
        keywords::text(self)
    }

    /// The header of the model that training makes.
    pub fn header(&self) -> Header {
        Header {
            version: self.version,
            kind: self.kind,
            elements: self.elements.clone(),
            zbl: self.zbl.clone(),
            cutoff: self.cutoff.clone(),
            max_neighbors: [0, 0],
            n_max: self.n_max,
            basis_size: self.basis_size,
            l_max: self.l_max,
            many_body: self.many_body,
            neurons: self.neurons,
        }
    }

    /// Sets what the model predicts; a dipole or a polarizability is all that such a model is trained on.
    pub fn predict_kind(&mut self, kind: Kind) {
        self.kind = kind;
        if kind.is_tensor() {
            (self.lambda_e, self.lambda_f, self.lambda_v) = (0.0, 0.0, 1.0);
        }
    }

    /// Refuses settings that do not go together.
    ///
    /// **Errors**: [`Error::InvalidArgument`] or [`Error::Unsupported`].
    pub fn check(&self) -> Result<()> {
        let what = self.kind.name();
        let refuse = |why: &str| Err(Error::invalid(format!("a model of {what} {why}")));
        if !self.kind.exists(self.version, self.zbl.is_some()) {
            return refuse(match self.kind.is_tensor() {
                true => "is of version 3 or 4 and has no zbl",
                false => "is of version 4",
            });
        }
        if self.kind.is_tensor() && self.energy_reference != EnergyReference::None {
            return refuse("has no energies: leave energy_reference out");
        }
        if self.neurons[1] > 0 && self.version != Version::Nep4 {
            return refuse("with two hidden layers is of version 4");
        }
        if self.kind == Kind::Potential {
            return Ok(());
        }
        if self.train_zbl {
            return refuse("is not trained with train_zbl");
        }
        if self.kind.electrostatics().is_none() && !self.kind.has_dispersion() {
            return Ok(());
        }
        if self.neurons[1] > 0 {
            return refuse("has one hidden layer: give neuron one number");
        }
        if !matches!(self.cutoff, Cutoff::Uniform(_)) {
            return refuse("has one radial cutoff for all types");
        }
        if self.optimizer == Optimizer::Evolution {
            return refuse("is trained with gradients here, which optimizer snes does not take");
        }
        Ok(())
    }

    /// The settings that make a model of some shape, with the defaults of GPUMD elsewhere.
    pub fn of_header(header: &Header) -> Self {
        Self {
            version: header.version,
            kind: header.kind,
            zbl: header.zbl.clone(),
            cutoff: header.cutoff.clone(),
            n_max: header.n_max,
            basis_size: header.basis_size,
            l_max: header.l_max,
            many_body: header.many_body,
            neurons: header.neurons,
            ..Self::new(header.elements.clone())
        }
    }

    /// How the shape of a model differs from what these settings make: each keyword with both values;
    /// numbers of neighbours apart, which follow from the data.
    pub fn differences(&self, header: &Header) -> Vec<String> {
        let mut wanted = self.header();
        wanted.max_neighbors = header.max_neighbors;
        if wanted == *header {
            return Vec::new();
        }
        let (ours, theirs) = (
            Self::of_header(&wanted).to_text(),
            Self::of_header(header).to_text(),
        );
        let value = |text: &str, keyword: &str| {
            let line = text
                .lines()
                .find_map(|l| l.split_once(' ').filter(|l| l.0 == keyword));
            line.map_or("missing".to_owned(), |(_, value)| value.trim().to_owned())
        };
        let mut found: Vec<String> = keywords::OF_SHAPE
            .iter()
            .map(|k| (k, value(&ours, k), value(&theirs, k)))
            .filter(|(_, a, b)| a != b)
            .map(|(k, a, b)| format!("{k} is {a} in the settings and {b} in the model"))
            .collect();
        if wanted.kind != header.kind {
            found.push(format!(
                "the settings make a model of {}, this one gives {}",
                wanted.kind.name(),
                header.kind.name()
            ));
        }
        if found.is_empty() {
            found.push("the rows of zbl.in or the typewise cutoffs are others".into());
        }
        found
    }

    /// The weights of the two regularisation terms for a number of parameters.
    pub fn lambdas(&self, n_parameters: usize) -> [f64; 2] {
        let default = (1e-6 * n_parameters as f64 / self.elements.len() as f64).sqrt();
        [
            self.lambda_1.unwrap_or(default),
            self.lambda_2.unwrap_or(default),
        ]
    }
}
