//! A cache of bounded size that forgets what was used longest ago. Knows only that its values are tensors.

use blake3::Hash;
use burn::tensor::Tensor;
use lru::LruCache;

/// Tensors by the hash of what they were computed from.
#[derive(Debug)]
pub struct Bounded<const D: usize> {
    entries: LruCache<Hash, Tensor<D>>,
    bytes: usize,
    budget: usize,
}

impl<const D: usize> Bounded<D> {
    /// An empty cache of at most `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            entries: LruCache::unbounded(),
            bytes: 0,
            budget,
        }
    }

    /// The tensor under `key`, which becomes the latest used.
    pub fn get(&mut self, key: &Hash) -> Option<Tensor<D>> {
        self.entries.get(key).cloned()
    }

    /// Whether there is something under `key`; its age stays as it is.
    pub fn contains(&self, key: &Hash) -> bool {
        self.entries.contains(key)
    }

    /// Keeps `value` under `key` and forgets the oldest until all fits; a value that never fits is not kept.
    pub fn put(&mut self, key: Hash, value: Tensor<D>) {
        let size = bytes(&value);
        if size > self.budget {
            return;
        }
        if let Some(replaced) = self.entries.put(key, value) {
            self.bytes -= bytes(&replaced);
        }
        self.bytes += size;
        while self.bytes > self.budget {
            let (_, oldest) = self.entries.pop_lru().expect("what is counted is held");
            self.bytes -= bytes(&oldest);
        }
    }

    /// Bytes it may hold.
    pub fn budget(&self) -> usize {
        self.budget
    }
}

fn bytes<const D: usize>(tensor: &Tensor<D>) -> usize {
    tensor.shape().num_elements() * tensor.dtype().size()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    #[test]
    fn the_longest_unused_goes_first() {
        let value = || Tensor::<1>::zeros([4], &Device::flex()); // 16 bytes
        let key = |name: &str| blake3::hash(name.as_bytes());
        let mut cache = Bounded::new(32);
        cache.put(key("a"), value());
        cache.put(key("b"), value());
        assert!(cache.get(&key("a")).is_some());
        cache.put(key("c"), value());
        assert!(cache.contains(&key("a")) && cache.contains(&key("c")));
        assert!(!cache.contains(&key("b")));
        cache.put(key("c"), value());
        assert_eq!(cache.bytes, 32);
        cache.put(key("d"), Tensor::zeros([9], &Device::flex()));
        assert!(!cache.contains(&key("d")), "36 bytes never fit");
        assert_eq!(cache.bytes, 32);
    }
}
