//! The simulated disk keeps, loses and tears what a real one may.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn the_synced_survives_and_the_rest_may_not() {
    let (mut lost, mut kept, mut torn, mut unnamed) = (0, 0, 0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        disk.create_dir_all(Path::new("d")).unwrap();
        let file = disk.open(Path::new("d/f"), true).unwrap();
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        file.write_at(&[2; 2048], 1024).unwrap();
        disk.open(Path::new("d/g"), true).unwrap();
        let after = disk.crash();
        assert!(file.write_at(&[3], 0).is_err(), "the old machine is off");
        let mut bytes = vec![0; 4096];
        let count = after.open(Path::new("d/f"), false).unwrap().read_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes[..1024], [1; 1024]);
        assert!(count >= 2048);
        match bytes[1024..count].iter().filter(|byte| **byte == 2).count() {
            0 => lost += 1,
            2048 => kept += 1,
            _ => torn += 1,
        }
        unnamed += usize::from(after.open(Path::new("d/g"), false).is_err());
    }
    assert!(lost > 10 && kept > 10 && torn > 10 && unnamed > 10, "{lost} {kept} {torn} {unnamed}");
}

#[test]
fn after_a_failed_sync_the_page_cache_lies() {
    let lied = (0..50).filter(|seed| {
        let disk = SimDisk::new(*seed);
        let file = disk.open(Path::new("f"), true).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.fail_sync_after(0);
        file.write_at(&[7; 512], 0).unwrap();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        let mut byte = [0];
        file.read_at(&mut byte, 0).unwrap();
        assert_eq!(byte, [7]);
        let mut byte = [0];
        disk.crash().open(Path::new("f"), false).unwrap().read_at(&mut byte, 0).unwrap();
        byte == [0]
    });
    assert!(lied.count() > 10);
}

#[test]
fn a_full_disk_writes_what_fits_and_an_undone_rename_gives_the_old_name_back() {
    let disk = SimDisk::new(1);
    disk.set_capacity(Some(1000));
    let file = disk.open(Path::new("f"), true).unwrap();
    assert_eq!(file.write_at(&[1; 2000], 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.len().unwrap(), 1000);
    assert_eq!(disk.space().unwrap().available, 0);
    let undone = (0..50).filter(|seed| {
        let disk = SimDisk::new(*seed);
        disk.open(Path::new("a"), true).unwrap();
        disk.sync_dir(Path::new("")).unwrap();
        disk.rename(Path::new("a"), Path::new("b")).unwrap();
        let names: Vec<String> = disk.crash().list(Path::new("")).unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), 1);
        names == ["a"]
    });
    let undone = undone.count();
    assert!(undone > 10 && undone < 40, "{undone}");
}
