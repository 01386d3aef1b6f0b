use super::*;

#[test]
fn defaults_are_those_of_gpumd() {
    let c = NepIn::parse("type 2 Te Pb\ngeneration 20000 # note\n", "nep.in").unwrap();
    let layout = nepal::model::Layout::new(&c.header());
    assert_eq!(layout.len(), 3033);
    assert!((c.lambdas(3033)[0] - (1e-6f64 * 3033.0 / 2.0).sqrt()).abs() < 1e-15);
    assert_eq!(c.notes.len(), 1);
    assert!(c.notes[0].contains("generation"));
}

#[test]
fn a_recipe_is_where_the_other_lines_start() {
    let c = NepIn::parse("neuron 20\nrecipe accurate\ntype 2 Te Pb\n", "nep.in").unwrap();
    let mut expected = NepIn::new(c.elements.clone());
    expected.be_accurate();
    assert!(expected != NepIn::new(c.elements.clone()) && expected.neurons[0] > 20);
    expected.neurons = [20, 0];
    assert_eq!(c, expected);
    assert_eq!(NepIn::parse(&c.to_text(), "again").unwrap(), c);
    // What GPUMD evaluates at most.
    let angular = (c.n_max[1] + 1) * (c.l_max + c.many_body.flags().iter().filter(|&&f| f).count());
    assert!(angular <= 90 && angular + c.n_max[0] < 103);
    let wrong = NepIn::parse("type 1 Te\nrecipe quick\n", "nep.in").unwrap_err();
    assert!(
        wrong.to_string().contains("recipe takes one of accurate"),
        "{wrong}"
    );
}

#[test]
fn text_and_settings_agree() {
    let text = "type 3 Te Pb Cu\ncutoff 6 4 5 4 7 4.5\nn_max 4 3\nbasis_size 8 7\n\
        l_max 4 0 0 1\nneuron 20 10\nlambda_1 0.01\nlambda_f 2\ntype_weight 1 2 0.5\n\
        batch 10 1\nzbl 2\nuse_typewise_cutoff_zbl\nepochs 7\nbudget 1.5\nseed 9\nearly_stop 4\noptimizer lm\n\
        force_loss huber 0.5\nenergy_loss cauchy 0.002\nmemory 4\ntarget_error 0.001 0.05\ngroup_weight melt 2\ngroup_weight gas 0.1\nfine_tune nep89.txt\nfreeze descriptors hidden\n";
    let c = NepIn::parse(text, "nep.in").unwrap();
    assert_eq!(c.batch, Some(usize::MAX));
    assert!(!c.many_body.f222 && c.many_body.f112);
    assert!(
        matches!(c.zbl, Some(Zbl::Typewise { outer, factor, .. }) if outer == 2.0 && factor == 0.7)
    );
    assert_eq!(NepIn::parse(&c.to_text(), "again").unwrap(), c);
}

#[test]
fn what_cannot_be_honoured_is_refused_with_its_line() {
    for (text, expected) in [
        ("type 2 Te Pb\nmodel_type 4\n", "from 0 to 3"),
        (
            "type 2 Te Pb\nmodel_type 1\nzbl 2\n",
            "a model of dipole moments is of version 3 or 4 and has no zbl",
        ),
        (
            "type 2 Te Pb\nmodel_type 2\nversion 5\n",
            "of version 3 or 4",
        ),
        (
            "type 1 Te\nmodel_type 1\ncharge_mode 1\n",
            "nep.in:3: charge_mode needs model_type 0",
        ),
        ("type 1 Te\ncharge_mode 4\n", "from 0 to 3"),
        ("type 1 Te\ncharge_mode 1\nneuron 5 5\n", "one hidden layer"),
        ("type 1 Te\nversion 5\ncharge_mode 1\n", "is of version 4"),
        ("type 1 Te\nversion 3\nneuron 5 5\n", "two hidden layers"),
        (
            "type 1 Te\ncharge_mode 2\nvdw 1\n",
            "nep.in:3: vdw does not go with charge_mode of line 2; charges and dispersion together are charge_vdw 1",
        ),
        (
            "type 1 Te\nmodel_type 3\nvdw 1\n",
            "only potentials have dispersion",
        ),
        ("type 1 Te\ncharge_vdw 2\n", "from 0 to 1"),
        ("type 1 Te\nvdw 1\nneuron 5 5\n", "one hidden layer"),
        ("type 1 Te\n\nspeed 3\n", "nep.in:3: speed is not a keyword"),
        ("cutoff 8 4\n", "no type keyword"),
        (
            "TYPE 1 Te\n",
            "nep.in:1: TYPE is not a keyword of nep.in; did you mean type?",
        ),
        ("type 1 Te\ncuttof 5 4\n", "did you mean cutoff?"),
        ("type 1 Te\nrestart 1\n", "--init nep.restart"),
        ("type 1 Te\nstart_lr 1e-3\n", "say learning_rate"),
        (
            "type_weight 1 2\ntype 1 Te\n",
            "nep.in:1: type_weight takes 1",
        ),
        ("type 2 Te\n", "announces 2"),
        ("type 2 Te Te\n", "twice"),
        ("type 1 Xx\n", "Xx"),
        ("type 1 Te\ncutoff 4 8\n", "above the radial"),
        ("type 1 Te\nneuron 0\n", "from 1 to 2000"),
        ("type 1 Te\nlambda_e nan\n", "takes a number"),
        ("type 1 Te\nl_max 3 1 0 0 0 0 1\n", "at least 4"),
        (
            "type 1 Te\nn_max 4 4\nn_max 4 4\n",
            "already given on line 2",
        ),
        ("type 1 Te\nforce_loss huber\n", "takes 2 value(s)"),
        ("type 1 Te\nforce_loss l1 2\n", "takes square, huber D"),
        ("# nothing\n", "no type"),
    ] {
        let message = NepIn::parse(text, "nep.in").unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_order_is_free_and_zero_switches_off() {
    let plain = NepIn::parse("type 1 Te\ncutoff 5 4\n", "nep.in").unwrap();
    for text in [
        "\u{feff}cutoff 5 4\nversion 4\ntype 1 Te\n",
        "type_weight 1\ntype 1 Te\ncharge_mode 0\nvdw 0\natomic_v 0\noutput_descriptor 0\ncutoff 5 4\n",
        "import_q_scaler 0\nrestart 0\nzbl 0\nuse_typewise_cutoff 0\ntype 1 Te\ncutoff 5 4\n",
    ] {
        assert_eq!(NepIn::parse(text, "nep.in").unwrap(), plain, "{text}");
    }
    let c = NepIn::parse(
        "checkpoint 1000\nfine_tune nep89.txt x\ntype 1 Te\n",
        "nep.in",
    )
    .unwrap();
    assert!(c.notes[0].contains("checkpoint") && c.fine_tune.is_some());
}

#[test]
fn a_mismatch_names_keywords_and_both_values() {
    let c = NepIn::parse("type 1 Te\ncutoff 5 4\nneuron 10\n", "nep.in").unwrap();
    assert!(c.differences(&c.header()).is_empty());
    let other = NepIn::parse("type 1 Te\ncutoff 6 4\nneuron 10\nzbl 2\n", "nep.in").unwrap();
    assert_eq!(
        c.differences(&other.header()),
        [
            "cutoff is 5 4 in the settings and 6 4 in the model",
            "zbl is missing in the settings and 2 in the model"
        ]
    );
    let mut counts = c.header();
    counts.max_neighbors = [30, 20];
    assert!(c.differences(&counts).is_empty());
}
