//! What an instance may take.

use std::ptr::NonNull;

use ::wasmer::{
    MemoryError, MemoryStyle, MemoryType, Pages, TableStyle, TableType,
    sys::{
        BaseTunables, Tunables,
        vm::{VMConfig, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition},
    },
};

/// The most elements that one table may hold, as with wasmtime.
const TABLE_LIMIT: u32 = 100_000;

/// Memories and tables as wasmer makes them, up to a limit.
pub(super) struct Limits {
    pub(super) base: BaseTunables,
    pub(super) memory: Pages,
    pub(super) stack: VMConfig,
}

impl Limits {
    fn memory(&self, ty: &MemoryType) -> Result<MemoryType, MemoryError> {
        if ty.minimum > self.memory {
            return Err(MemoryError::MinimumMemoryTooLarge { min_requested: ty.minimum, max_allowed: self.memory });
        }
        let maximum = ty.maximum.map_or(self.memory, |maximum| maximum.min(self.memory));
        Ok(MemoryType { maximum: Some(maximum), ..*ty })
    }

    fn table(&self, ty: &TableType) -> Result<TableType, String> {
        if ty.minimum > TABLE_LIMIT {
            return Err(format!("a table of {} elements is larger than {TABLE_LIMIT}", ty.minimum));
        }
        if ty.maximum == Some(ty.minimum) {
            return Ok(*ty);
        }
        // For code, a table whose size is fixed is another kind of table: it must not become one here.
        let maximum = ty.maximum.unwrap_or(TABLE_LIMIT).min(TABLE_LIMIT).max(ty.minimum + 1);
        Ok(TableType { maximum: Some(maximum), ..*ty })
    }
}

impl Tunables for Limits {
    fn memory_style(&self, memory: &MemoryType) -> MemoryStyle {
        self.base.memory_style(memory)
    }

    fn table_style(&self, table: &TableType) -> TableStyle {
        self.base.table_style(table)
    }

    fn create_host_memory(&self, ty: &MemoryType, style: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        self.base.create_host_memory(&self.memory(ty)?, style)
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        at: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        let ty = self.memory(ty)?;
        // SAFETY: the caller vouches for the place.
        unsafe { self.base.create_vm_memory(&ty, style, at) }
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        self.base.create_host_table(&self.table(ty)?, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        at: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        let ty = self.table(ty)?;
        // SAFETY: the caller vouches for the place.
        unsafe { self.base.create_vm_table(&ty, style, at) }
    }

    fn vmconfig(&self) -> &VMConfig {
        &self.stack
    }
}
