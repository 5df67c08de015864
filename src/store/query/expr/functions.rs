//! The functions of expressions: their names, and how many arguments they take.

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// The second if the first holds, else the third.
    If,
    /// The value after the first condition that holds.
    Case,
    /// The first that is not null.
    Coalesce,
    /// Whether the field is there.
    Exists,
    /// One after another.
    Concat,
    /// In small letters.
    Lower,
    /// In capital letters.
    Upper,
    /// Without blanks at its ends.
    Trim,
    /// Some of its characters.
    Substr,
    /// How many characters.
    Len,
    /// With a text in another's place.
    Replace,
    /// A piece between separators.
    Split,
    /// Whether it holds a text.
    Contains,
    /// Whether it begins so.
    StartsWith,
    /// Whether it ends so.
    EndsWith,
    /// As text.
    String,
    /// As a number.
    Number,
    /// As a whole number.
    Int,
    /// To so many places.
    Round,
    /// The whole number below.
    Floor,
    /// The whole number above.
    Ceil,
    /// Without its sign.
    Abs,
    /// The root.
    Sqrt,
    /// The power.
    Pow,
    /// The natural logarithm.
    Ln,
    /// The decimal logarithm.
    Log10,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// Rounded down to a step.
    Bin,
    /// As an instant.
    Time,
    /// Seconds since 1970.
    Epoch,
    /// Of the date.
    Year,
    /// Of the date, from 1.
    Month,
    /// Of the date, from 1.
    Day,
    /// Of the time of day.
    Hour,
    /// Of the hour.
    Minute,
    /// Of the minute.
    Second,
    /// Monday is 1.
    Weekday,
    /// By a pattern.
    FormatTime,
}

/// What people are told of a function.
#[derive(Clone, Copy, Debug)]
pub struct FunctionInfo {
    /// Which.
    pub function: Function,
    /// As it is written.
    pub name: &'static str,
    /// Fewest arguments.
    pub least: usize,
    /// Most arguments.
    pub most: usize,
    /// How it is used.
    pub usage: &'static str,
}

const fn info(function: Function, name: &'static str, (least, most): (usize, usize), usage: &'static str) -> FunctionInfo {
    FunctionInfo { function, name, least, most, usage }
}

/// All of them; `match`, `in_net` and `now`, which are more than functions, stand in the parser.
pub const FUNCTIONS: [FunctionInfo; 39] = [
    info(Function::If, "if", (2, 3), "if(status>=500, \"bad\", \"good\")"),
    info(Function::Case, "case", (2, 64), "case(a>9, \"high\", a>5, \"middle\", \"low\")"),
    info(Function::Coalesce, "coalesce", (1, 64), "coalesce(user, client, \"nobody\")"),
    info(Function::Exists, "exists", (1, 1), "exists(user)"),
    info(Function::Concat, "concat", (1, 64), "concat(host, \":\", port)"),
    info(Function::Lower, "lower", (1, 1), "lower(app)"),
    info(Function::Upper, "upper", (1, 1), "upper(app)"),
    info(Function::Trim, "trim", (1, 1), "trim(name)"),
    info(Function::Substr, "substr", (2, 3), "substr(id, 0, 8); negative counts from the end"),
    info(Function::Len, "len", (1, 1), "len(message)"),
    info(Function::Replace, "replace", (3, 3), "replace(path, \"//\", \"/\")"),
    info(Function::Split, "split", (3, 3), "split(path, \"/\", 1): a piece, from 0; negative counts from the end"),
    info(Function::Contains, "contains", (2, 2), "contains(message, \"timeout\")"),
    info(Function::StartsWith, "starts_with", (2, 2), "starts_with(path, \"/api\")"),
    info(Function::EndsWith, "ends_with", (2, 2), "ends_with(path, \".png\")"),
    info(Function::String, "string", (1, 1), "string(status)"),
    info(Function::Number, "number", (1, 1), "number(code)"),
    info(Function::Int, "int", (1, 1), "int(reqtime)"),
    info(Function::Round, "round", (1, 2), "round(reqtime, 2)"),
    info(Function::Floor, "floor", (1, 1), "floor(reqtime)"),
    info(Function::Ceil, "ceil", (1, 1), "ceil(reqtime)"),
    info(Function::Abs, "abs", (1, 1), "abs(change)"),
    info(Function::Sqrt, "sqrt", (1, 1), "sqrt(x)"),
    info(Function::Pow, "pow", (2, 2), "pow(x, 2)"),
    info(Function::Ln, "ln", (1, 1), "ln(x)"),
    info(Function::Log10, "log10", (1, 1), "log10(bytes)"),
    info(Function::Min, "min", (2, 64), "min(a, b)"),
    info(Function::Max, "max", (2, 64), "max(a, b)"),
    info(Function::Bin, "bin", (2, 2), "bin(_time, 5m), bin(bytes, 1000)"),
    info(Function::Time, "time", (1, 1), "time(started)"),
    info(Function::Epoch, "epoch", (1, 1), "epoch(_time)"),
    info(Function::Year, "year", (1, 1), "year(_time)"),
    info(Function::Month, "month", (1, 1), "month(_time)"),
    info(Function::Day, "day", (1, 1), "day(_time)"),
    info(Function::Hour, "hour", (1, 1), "hour(_time)"),
    info(Function::Minute, "minute", (1, 1), "minute(_time)"),
    info(Function::Second, "second", (1, 1), "second(_time)"),
    info(Function::Weekday, "weekday", (1, 1), "weekday(_time): Monday is 1"),
    info(Function::FormatTime, "format_time", (2, 2), "format_time(_time, \"%Y-%m-%d\")"),
];

/// The function of a name.
pub fn find(name: &str) -> Option<&'static FunctionInfo> {
    FUNCTIONS.iter().find(|info| info.name.eq_ignore_ascii_case(name))
}
