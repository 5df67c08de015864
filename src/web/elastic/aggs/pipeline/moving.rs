//! Functions over a window of values: `MovingFunctions` of `moving_fn`, and the models of `moving_avg`.

use serde_json::{Map, Value};

use crate::web::elastic::dsl::read::{maybe_text, object, only, text};

/// A function over a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moving {
    Max,
    Min,
    Sum,
    Average,
    Linear,
    Deviation,
    Exponential(f64),
    /// As `moving_avg` does: nothing of an empty window.
    Model(&'static Moving),
    /// The same, of a factor.
    ModelExponential(f64),
}

impl Moving {
    /// `MovingFunctions.max(values)` and its kin.
    pub fn of_script(script: Option<&Value>) -> Result<Self, String> {
        let source = match script {
            Some(Value::Object(script)) => script.get("source").or_else(|| script.get("inline")),
            script => script,
        };
        let written = text(source, "script")?;
        let plain: String = written.chars().filter(|letter| !letter.is_whitespace()).collect();
        let plain = plain.strip_prefix("return").unwrap_or(&plain).trim_end_matches(';');
        let call = plain.strip_prefix("MovingFunctions.").and_then(|call| call.strip_suffix(')'));
        let unknown = || {
            format!(
                "the script `{written}` of `moving_fn` is not supported; MovingFunctions max, min, sum, unweightedAvg, linearWeightedAvg, stdDev and ewma of `values` are"
            )
        };
        Ok(match call.ok_or_else(unknown)? {
            "max(values" => Self::Max,
            "min(values" => Self::Min,
            "sum(values" => Self::Sum,
            "unweightedAvg(values" => Self::Average,
            "linearWeightedAvg(values" => Self::Linear,
            "stdDev(values,MovingFunctions.unweightedAvg(values)" => Self::Deviation,
            call => match call.strip_prefix("ewma(values,").and_then(|alpha| alpha.parse().ok()) {
                Some(alpha) => Self::Exponential(alpha),
                None => return Err(unknown()),
            },
        })
    }

    /// `model` of `moving_avg`.
    pub fn of_model(body: &Map<String, Value>) -> Result<Self, String> {
        let model = maybe_text(body, "model")?.unwrap_or("simple");
        if let Some(settings) = body.get("settings").filter(|settings| !settings.is_null()) {
            only(object(settings, "settings")?, "settings", if model == "ewma" { &["alpha"] } else { &[] })?;
        }
        Ok(match model {
            "simple" => Self::Model(&Self::Average),
            "linear" => Self::Model(&Self::Linear),
            "ewma" => Self::ModelExponential(super::setting(body, "alpha", 0.3)?),
            other => return Err(format!("the model `{other}` of `moving_avg` is not supported; simple, linear and ewma are")),
        })
    }

    /// Whether an empty window has no value at all.
    pub fn is_model(&self) -> bool {
        matches!(self, Self::Model(_) | Self::ModelExponential(_))
    }

    /// Of these values; NaN where there is none.
    #[allow(clippy::cast_precision_loss)]
    pub fn value(&self, values: &[f64]) -> f64 {
        let count = values.len() as f64;
        let sum: f64 = values.iter().sum();
        match self {
            Self::Max => values.iter().copied().fold(f64::NAN, f64::max),
            Self::Min => values.iter().copied().fold(f64::NAN, f64::min),
            Self::Sum => sum,
            Self::Average => sum / count,
            Self::Linear if values.is_empty() => f64::NAN,
            Self::Linear => {
                // The weights are 1, 2, 3 …; their sum is taken with one more, as Elasticsearch takes it.
                let weighed: f64 = values.iter().enumerate().map(|(at, value)| value * (at + 1) as f64).sum();
                weighed / (1.0 + count * (count + 1.0) / 2.0)
            }
            Self::Deviation => {
                let mean = sum / count;
                (values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count).sqrt()
            }
            Self::Exponential(alpha) | Self::ModelExponential(alpha) => {
                let step =
                    |before: f64, value: &f64| if before.is_nan() { *value } else { value * alpha + before * (1.0 - alpha) };
                values.iter().fold(f64::NAN, step)
            }
            Self::Model(inner) => inner.value(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_over_windows() {
        let of = |call: &str, values: &[f64]| {
            Moving::of_script(Some(&json!(format!("MovingFunctions.{call}")))).unwrap().value(values)
        };
        let values = [2.0, 4.0, 9.0];
        assert_eq!(of("max(values)", &values), 9.0);
        assert_eq!(of("min(values)", &values), 2.0);
        assert_eq!(of("sum(values);", &values), 15.0);
        assert_eq!(of("unweightedAvg(values)", &values), 5.0);
        assert_eq!(of("linearWeightedAvg(values)", &values), 37.0 / 7.0);
        assert_eq!(of("ewma(values, 0.5)", &values), 6.0);
        let deviation = of("stdDev(values, MovingFunctions.unweightedAvg(values))", &values);
        assert!((deviation - (26.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!(of("unweightedAvg(values)", &[]).is_nan());
        assert!(Moving::of_script(Some(&json!("MovingFunctions.holt(values, 0.3, 0.1)"))).is_err());
    }
}
