use crate::inventory::Inventory;
use crate::state::State;
use crate::ui::Ui;

/// True when something differs from what it should be.
pub fn run(_inventory: &Inventory, _state: &State, _ui: &Ui, _json: bool) -> anyhow::Result<bool> {
    anyhow::bail!("not written yet")
}
