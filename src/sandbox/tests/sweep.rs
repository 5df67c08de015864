//! What a sweep leaves, and what it takes, also when the power goes in the middle.

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::base::disk::sim::SimDisk;

const DAY: Duration = Duration::from_secs(25 * 3600);

fn wat(mark: u32) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 1) (global i32 (i32.const {mark})) (data (i32.const 512) "\00\00\00\00")
        (func (export "sawbox_abi") (result i32) (i32.const 1)) (func (export "alloc") (param i32) (result i32) (i32.const 1024))
        (func (export "init") (param i32 i32) (result i64) (i64.const 0x400000200))
        (func (export "process") (param i32 i32) (result i64) (i64.const 0)))"#
    );
    wat::parse_str(text).unwrap()
}

fn spec(json: serde_json::Value) -> ChainSpec {
    serde_json::from_value(json).unwrap()
}

fn sandbox(disk: &Arc<SimDisk>, clock: &Arc<SimClock>, versions: usize) -> Arc<Sandbox> {
    let (disk, clock): (Arc<dyn Disk>, Arc<dyn Clock>) = (disk.clone(), clock.clone());
    Sandbox::open(disk, clock, Config { versions, ..Config::default() }).unwrap()
}

fn files(disk: &SimDisk, below: &str) -> Vec<PathBuf> {
    let all = disk.files().into_iter().map(|(path, _)| path);
    all.filter(|path| path.starts_with(below)).collect()
}

fn table(disk: &SimDisk, text: &str) {
    disk.create_dir_all(Path::new("lookups")).unwrap();
    let file = disk.open(Path::new("lookups/codes.csv"), true).unwrap();
    file.set_len(0).unwrap();
    file.write_at(text.as_bytes(), 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("lookups")).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
}

#[test]
fn what_nobody_refers_to_goes_and_all_else_stays() {
    let (disk, clock) = (SimDisk::new(1), Arc::new(SimClock::at(0)));
    let sandbox = sandbox(&disk, &clock, 2);
    let put = |mark, current| sandbox.put_version("f", &wat(mark), PutBy::Cli, current).unwrap();
    let translate = spec(serde_json::json!([
        { "filter": "f@1" },
        { "filter": "translate", "config": { "source": "message", "dictionary_path": "codes.csv" } },
    ]));
    put(1, false);
    table(&disk, "200,old");
    let old = sandbox.resolve(&translate).unwrap();
    table(&disk, "200,new");
    let new = sandbox.resolve(&translate).unwrap();
    put(2, false);
    put(3, true);
    (4..=7).for_each(|mark| drop(put(mark, false)));
    let mut referred = Referred::default();
    referred.chain(&old);
    referred.spec(&spec(serde_json::json!([{ "filter": "f@4" }])));
    let unused = Sandbox::sweep(&sandbox, &referred).unwrap();
    assert_eq!(unused, Swept::default(), "somebody may be using all of it just now");

    // One whose chain somebody runs stays without anybody's word.
    let running = sandbox.apart(&sandbox.resolve(&spec(serde_json::json!([{ "filter": "f@5" }]))).unwrap(), false).unwrap();
    clock.advance(DAY);
    let bytes = |disk: &SimDisk| disk.files().iter().map(|(_, len)| len).sum::<u64>();
    let before = bytes(&disk);
    let swept = sandbox.sweep(&referred).unwrap();
    // Version 2's module and what was compiled of it, and the table that only `new` had.
    assert_eq!(swept, Swept { files: 3, bytes: before - bytes(&disk) });
    assert!(swept.bytes > 0 && sandbox.swept() == swept);
    let left: Vec<u32> =
        sandbox.versions("f").iter().filter(|version| version.bytes.is_some()).map(|version| version.version).collect();
    assert_eq!(left, [1, 3, 4, 5, 6, 7], "of a generation, current, of the configuration, at work, the newest two");
    assert!(sandbox.chain(&old).is_ok());
    assert!(sandbox.chain(&new).unwrap_err().to_string().contains("no longer on this box"));
    let gone = sandbox.resolve(&spec(serde_json::json!([{ "filter": "f@2" }]))).unwrap_err().to_string();
    assert!(gone.contains("`f@2`") && gone.contains("put it again"), "{gone}");
    assert!(sandbox.choose_version("f", 2).is_err());
    drop(running);
    // The same module again is the same version again.
    assert_eq!(put(2, false).version, 2);
    assert!(sandbox.resolve(&spec(serde_json::json!([{ "filter": "f@2" }]))).is_ok());
}

#[test]
fn a_sweep_without_power_leaves_only_garbage_for_the_next() {
    for power in 0.. {
        let (disk, clock) = (SimDisk::new(power), Arc::new(SimClock::at(0)));
        let first = sandbox(&disk, &clock, 1);
        table(&disk, "1,x");
        let chain = spec(serde_json::json!([
            { "filter": "f@2" },
            { "filter": "translate", "config": { "source": "message", "dictionary_path": "codes.csv" } },
        ]));
        (1..=3).for_each(|mark| drop(first.put_version("f", &wat(mark), PutBy::Cli, mark == 1).unwrap()));
        let old = first.resolve(&chain).unwrap();
        table(&disk, "1,y");
        let new = first.resolve(&chain).unwrap();
        // A version that stands for the name, but no more when it is swept.
        first.choose_version("f", 3).unwrap();
        clock.advance(DAY);
        let mut referred = Referred::default();
        referred.chain(&new);
        disk.power_off_after(power);
        let swept = first.sweep(&referred);
        let struck = !disk.keep_on();
        assert_eq!(swept.is_ok(), !struck);
        drop(first);

        let disk = disk.crash();
        let again = sandbox(&disk, &clock, 1);
        assert!(again.chain(&new).is_ok(), "what is referred to is there, struck after {power}");
        assert!(again.resolve(&spec(serde_json::json!([{ "filter": "f" }]))).is_ok(), "and what is current");
        clock.advance(DAY);
        again.sweep(&referred).unwrap();
        assert_eq!(again.sweep(&referred).unwrap(), Swept::default(), "all at once");
        assert_eq!(files(&disk, "sandbox/lookups").len(), 1);
        // Versions 2 and 3, and the stock filter.
        assert_eq!((files(&disk, "sandbox/modules").len(), files(&disk, "sandbox/cache").len()), (3, 3));
        assert!(again.chain(&new).is_ok() && again.chain(&old).is_err());
        if !struck {
            assert!(power > 2, "nothing was swept");
            break;
        }
    }
}

#[test]
fn what_a_crash_left_half_written_goes() {
    let (disk, clock) = (SimDisk::new(3), Arc::new(SimClock::at(0)));
    let sandbox = sandbox(&disk, &clock, 1);
    disk.create_dir_all(Path::new("sandbox/lookups")).unwrap();
    let hash = "0123456789abcdef".repeat(4);
    for name in [format!("modules/{hash}.wasm.new"), format!("lookups/{hash}.new"), "modules/README".to_owned()] {
        disk.open(&Path::new("sandbox").join(name), true).unwrap().write_at(b"half", 0).unwrap();
    }
    assert_eq!(sandbox.sweep(&Referred::default()).unwrap(), Swept { files: 2, bytes: 8 });
    assert_eq!(files(&disk, "sandbox/modules").len(), 1, "what is no module's is nobody's business");
}
