use super::Refused;

pub(super) fn normalise(_name: &str) -> Result<String, Refused> {
    Err(Refused::because("is of an ecosystem that is not known yet"))
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version;

impl Version {
    pub(super) fn parse(_text: &str) -> Result<Self, Refused> {
        Err(Refused::because("is of an ecosystem that is not known yet"))
    }

    pub(super) fn key(&self) -> String {
        String::new()
    }

    pub(super) fn is_pre_release(&self) -> bool {
        false
    }
}

#[derive(Clone, Debug)]
pub(super) struct Requirement;

impl Requirement {
    pub(super) fn parse(_text: &str) -> Result<Self, Refused> {
        Err(Refused::because("is of an ecosystem that is not known yet"))
    }

    pub(super) fn matches(&self, _version: &Version, _text: &str) -> bool {
        false
    }

    pub(super) fn names_pre_release(&self) -> bool {
        false
    }

    pub(super) fn is_exactly(&self, _version: &Version, _text: &str) -> bool {
        false
    }

    pub(super) fn is_any(&self) -> bool {
        false
    }
}
