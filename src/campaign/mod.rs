//! The campaign: configuration, states, journal, resume, stopping, report.
