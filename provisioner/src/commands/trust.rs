use crate::inventory::Inventory;
use crate::state::State;

pub fn run(_inventory: &Inventory, _state: &State, _yes: bool) -> anyhow::Result<()> {
    anyhow::bail!("not written yet")
}
