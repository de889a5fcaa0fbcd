//! Looks at the clock, put into the code of a guest.
//!
//! Each call and each turn of a loop takes points from a variable of the instance, about one for each instruction that it can
//! lead to. When they are used up, the guest calls a function of the host, through a table that only this code knows; it
//! looks at the clock and gives new points, or ends the call.

use std::sync::OnceLock;

use ::wasmer::{
    ExportIndex, FunctionType, GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, Type,
    sys::{
        FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware,
        wasmparser::{BlockType, Operator},
    },
};
use wasmer_types::SignatureHash;

use crate::rewrite;

/// Points between two looks at the clock: about a million instructions, half a millisecond.
pub(super) const SLICE: i64 = 1_000_000;
/// Bytes of code to an instruction, at the least that is usual.
const BYTES_PER_POINT: i64 = 2;
/// A call to a function of the host, which may copy and log.
const HOST_CALL: i64 = 100;
/// A call to what may be one.
const INDIRECT_CALL: i64 = 20;
/// Finding who catches an exception; making memory larger, or some thousand elements of a table.
const SLOW: i64 = 10_000;
/// Bytes that are moved in the time of one instruction, as a power of two.
const BYTES_MOVED: i64 = 3;

/// For one module.
#[derive(Debug)]
pub(super) struct Meter {
    /// The length of each function, in bytes.
    bodies: Vec<u32>,
    places: OnceLock<Places>,
}

/// What is added to a module, and how much of something else there was before.
#[derive(Clone, Copy, Debug)]
struct Places {
    points: u32,
    length: u32,
    clock: u32,
    signature: u32,
    imported_functions: u32,
}

impl Meter {
    pub(super) fn new(bodies: Vec<u32>) -> Self {
        Self { bodies, places: OnceLock::new() }
    }
}

impl ModuleMiddleware for Meter {
    fn transform_module_info(&self, info: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        let Some(ExportIndex::Table(clock)) = info.exports.get(rewrite::CLOCK) else {
            return Err(MiddlewareError::new("meter", "the module has no clock"));
        };
        let clock = clock.as_u32();
        let mut variable = |ty, init| {
            info.global_initializers.push(init);
            info.globals.push(GlobalType::new(ty, Mutability::Var)).as_u32()
        };
        let points = variable(Type::I64, GlobalInit::I64Const(SLICE));
        let length = variable(Type::I32, GlobalInit::I32Const(0));
        let signature = FunctionType::new([], [Type::I64]);
        info.signature_hashes.push(SignatureHash::new(signature.signature_hash()));
        let signature = info.signatures.push(signature).as_u32();
        let imported_functions = u32::try_from(info.num_imported_functions).unwrap_or(u32::MAX);
        let places = Places { points, length, clock, signature, imported_functions };
        self.places.set(places).map_err(|_| MiddlewareError::new("meter", "a meter is for one module"))
    }

    fn generate_function_middleware<'a>(&self, function: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let bytes = usize::try_from(function.as_u32())
            .ok()
            .and_then(|index| self.bodies.get(index))
            .copied()
            .unwrap_or(u32::MAX);
        let entry = Some(i64::from(bytes) / BYTES_PER_POINT + 1);
        Box::new(Metered { places: self.places.get().copied(), entry, instructions: 0, blocks: vec![None] })
    }
}

/// For one function.
#[derive(Debug)]
struct Metered {
    places: Option<Places>,
    /// What a call costs, until it is written.
    entry: Option<i64>,
    instructions: i64,
    /// The open blocks: for a loop, the instructions before it.
    blocks: Vec<Option<i64>>,
}

impl<'a> FunctionMiddleware<'a> for Metered {
    fn feed(&mut self, operator: Operator<'a>, code: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        let places = self.places.ok_or_else(|| MiddlewareError::new("meter", "the module is not prepared"))?;
        if let Some(entry) = self.entry.take() {
            places.charge(code, entry);
        }
        self.instructions += 1;
        if let Some(cost) = self.cost(places, &operator)? {
            places.charge(code, cost);
        }
        if let Operator::MemoryFill { .. } | Operator::MemoryCopy { .. } | Operator::MemoryInit { .. } = operator {
            places.charge_length(code);
        }
        match operator {
            Operator::Loop { .. } => self.blocks.push(Some(self.instructions)),
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } => self.blocks.push(None),
            Operator::End => _ = self.blocks.pop(),
            _ => {}
        }
        code.push_operator(operator);
        Ok(())
    }
}

impl Metered {
    /// What the instruction costs that is not in the price of the function's call.
    fn cost(&self, places: Places, operator: &Operator<'_>) -> Result<Option<i64>, MiddlewareError> {
        Ok(match operator {
            Operator::Br { relative_depth }
            | Operator::BrIf { relative_depth }
            | Operator::BrOnNull { relative_depth }
            | Operator::BrOnNonNull { relative_depth }
            | Operator::BrOnCast { relative_depth, .. }
            | Operator::BrOnCastFail { relative_depth, .. } => self.turn(*relative_depth),
            Operator::BrTable { targets } => {
                let malformed = |_| MiddlewareError::new("meter", "malformed br_table");
                let mut most = self.turn(targets.default());
                for target in targets.targets() {
                    most = most.max(self.turn(target.map_err(malformed)?));
                }
                most
            }
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                (*function_index < places.imported_functions).then_some(HOST_CALL)
            }
            Operator::CallIndirect { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCallRef { .. } => Some(INDIRECT_CALL),
            Operator::MemoryGrow { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef => Some(SLOW),
            _ => None,
        })
    }

    /// What a branch to that block costs: if it is a loop, all that is between its beginning and here, once more. Loops
    /// within it pay for themselves.
    fn turn(&self, depth: u32) -> Option<i64> {
        let depth = usize::try_from(depth).ok()?;
        let before = (*self.blocks.get(self.blocks.len().checked_sub(depth + 1)?)?)?;
        Some(self.instructions - before + 1)
    }
}

impl Places {
    fn charge(&self, code: &mut MiddlewareReaderState<'_>, cost: i64) {
        code.extend([
            Operator::GlobalGet { global_index: self.points },
            Operator::I64Const { value: cost },
            Operator::I64Sub,
            Operator::GlobalSet { global_index: self.points },
        ]);
        self.look(code);
    }

    /// By the number of bytes on the top of the stack, where it stays.
    fn charge_length(&self, code: &mut MiddlewareReaderState<'_>) {
        code.extend([
            Operator::GlobalSet { global_index: self.length },
            Operator::GlobalGet { global_index: self.points },
            Operator::GlobalGet { global_index: self.length },
            Operator::I64ExtendI32U,
            Operator::I64Const { value: BYTES_MOVED },
            Operator::I64ShrU,
            Operator::I64Sub,
            Operator::GlobalSet { global_index: self.points },
        ]);
        self.look(code);
        code.push_operator(Operator::GlobalGet { global_index: self.length });
    }

    /// Calls the host if there are no points left.
    fn look(&self, code: &mut MiddlewareReaderState<'_>) {
        code.extend([
            Operator::GlobalGet { global_index: self.points },
            Operator::I64Const { value: 0 },
            Operator::I64LtS,
            Operator::If { blockty: BlockType::Empty },
            Operator::I32Const { value: 0 },
            Operator::CallIndirect { type_index: self.signature, table_index: self.clock },
            Operator::GlobalSet { global_index: self.points },
            Operator::End,
        ]);
    }
}
