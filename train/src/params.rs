//! Parameters of a network by where they stand in it: a walk that keeps the path, for those who look at them and those who change them.
//! What is done to a parameter is theirs.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;

/// Looks at parameters.
pub(crate) trait Look {
    /// The one at `path`.
    fn look<const D: usize>(&mut self, path: &[String], param: &Param<Tensor<D>>);
}

/// Changes parameters.
pub(crate) trait Change {
    /// The one at `path`.
    fn change<const D: usize>(
        &mut self,
        path: &[String],
        param: Param<Tensor<D>>,
    ) -> Param<Tensor<D>>;
}

/// Shows `looker` every parameter of `module`, and gives it back.
pub(crate) fn look<L: Look>(module: &impl Module, looker: L) -> L {
    let mut walk = Walk::with(looker);
    module.visit(&mut walk);
    walk.who
}

/// `module` with every parameter as `changer` made it.
pub(crate) fn change<M: Module>(module: M, changer: impl Change) -> M {
    module.map(&mut Walk::with(changer))
}

struct Walk<W> {
    who: W,
    path: Vec<String>,
}

impl<W> Walk<W> {
    fn with(who: W) -> Self {
        Self { who, path: vec![] }
    }
}

impl<L: Look> ModuleVisitor for Walk<L> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.who.look(&self.path, param);
    }
}

impl<C: Change> ModuleMapper for Walk<C> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        self.who.change(&self.path, param)
    }
}
