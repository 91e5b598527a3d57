//! `config.json` of networks that have sizes and no weights.

use serde_json::{Value, json};

/// These sizes of the decoder and of the vision tower; what decides no shape is the same for all.
pub fn config_json(decoder: Value, vision: Value) -> Value {
    let mut all = json!({
        "rms_norm_eps": 1e-6, "rope_theta": 1e4, "max_position_embeddings": 4096,
        "image_token_id": 3, "video_token_id": 4, "vision_start_token_id": 5,
        "vision_config": {
            "in_chans": 3, "patch_size": 14, "temporal_patch_size": 2, "spatial_merge_size": 2, "window_size": 112
        }
    });
    extend(&mut all["vision_config"], vision);
    extend(&mut all, decoder);
    all
}

fn extend(object: &mut Value, more: Value) {
    let (Value::Object(object), Value::Object(more)) = (object, more) else {
        panic!("sizes are objects");
    };
    object.extend(more);
}
