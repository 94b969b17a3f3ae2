//! What is at a path: looked for in all roots, opened, and read where it is small.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use xxhash_rust::xxh3::xxh3_128;

use super::conditional::{self, Validators};
use super::encoding::Encoding;
use super::root::Root;
use super::settings::Options;

/// A file that has changed less than this ago may change again and still have the same times, which
/// come from the kernel's clock ticks, or a network's. In nanoseconds.
const SETTLED_NS: i128 = 2_000_000_000;

/// What is at a path.
#[derive(Debug)]
pub(super) enum Place {
    File(Opened),
    /// A directory with an index; the path lacks the slash at its end.
    Directory,
}

/// A file with those that stand for it. Nothing of it has been read.
#[derive(Debug)]
pub(super) struct Opened {
    /// The file itself first.
    files: Vec<OpenFile>,
    content_type: HeaderValue,
}

#[derive(Debug)]
struct OpenFile {
    encoding: Option<Encoding>,
    file: File,
    stamp: Stamp,
}

/// What changes with a file's content, as far as can be known without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size: u64,
    /// In nanoseconds since 1970.
    modified: i128,
    /// The same; nobody but the kernel sets it.
    changed: i128,
}

/// A file as it is served, in each coding that it is there in.
#[derive(Debug)]
pub(super) struct Found {
    /// The file as it is first.
    pub(super) representations: Vec<Representation>,
    stamps: Vec<(Option<Encoding>, Stamp)>,
    /// Whether equal stamps are equal contents.
    is_settled: bool,
}

/// One coding of a file.
#[derive(Debug)]
pub(super) struct Representation {
    pub(super) encoding: Option<Encoding>,
    /// Of a 200.
    pub(super) headers: HeaderMap,
    pub(super) validators: Validators,
    pub(super) content: Content,
    /// In bytes.
    pub(super) size: u64,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Memory(Bytes),
    File(Arc<File>),
}

/// What is at `path`, which `path::resolve` has made; the first root that has something counts.
/// Blocks.
pub(super) fn look(roots: &[Root], path: &str, options: &Options) -> io::Result<Option<Place>> {
    let is_directory = path.is_empty() || path.ends_with('/');
    for root in roots {
        let name = match is_directory {
            true if options.index.is_empty() => continue,
            true => format!("{path}{}", options.index),
            false => path.to_owned(),
        };
        let Some(file) = root.open(&name)? else {
            continue;
        };
        let metadata = file.metadata()?;
        if metadata.is_dir() && !is_directory && has_index(root, &name, options)? {
            return Ok(Some(Place::Directory));
        }
        if metadata.is_file() {
            let opened = Opened::new(root, &name, file, &metadata, options)?;
            return Ok(Some(Place::File(opened)));
        }
    }
    Ok(None)
}

fn has_index(root: &Root, name: &str, options: &Options) -> io::Result<bool> {
    if options.index.is_empty() {
        return Ok(false);
    }
    Ok(match root.open(&format!("{name}/{}", options.index))? {
        Some(file) => file.metadata()?.is_file(),
        None => false,
    })
}

impl Opened {
    fn new(
        root: &Root,
        name: &str,
        file: File,
        metadata: &Metadata,
        options: &Options,
    ) -> io::Result<Self> {
        let mut files = vec![OpenFile {
            encoding: None,
            file,
            stamp: Stamp::of(metadata),
        }];
        let codings: &[Encoding] = if options.precompressed {
            &Encoding::ALL
        } else {
            &[]
        };
        for &encoding in codings {
            let Some(file) = root.open(&format!("{name}{}", encoding.suffix()))? else {
                continue;
            };
            let metadata = file.metadata()?;
            if metadata.is_file() {
                files.push(OpenFile {
                    encoding: Some(encoding),
                    file,
                    stamp: Stamp::of(&metadata),
                });
            }
        }
        Ok(Self {
            files,
            content_type: content_type(name),
        })
    }

    /// Whether all of it is what `found` was made of.
    pub(super) fn is(&self, found: &Found) -> bool {
        let stamps = self.files.iter().map(|file| (file.encoding, file.stamp));
        found.is_settled && stamps.eq(found.stamps.iter().copied())
    }

    /// Reads what is small. Whether all of it is in memory is [`Found::bytes`]. Blocks.
    pub(super) fn read(self, options: &Options, cache_control: &HeaderValue) -> io::Result<Found> {
        let now = now();
        let varies = self.files.len() > 1;
        let mut base = HeaderMap::with_capacity(10);
        base.insert(header::CONTENT_TYPE, self.content_type);
        base.insert(header::CACHE_CONTROL, cache_control.clone());
        base.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        base.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if varies {
            base.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        let stamps: Vec<_> = self
            .files
            .iter()
            .map(|file| (file.encoding, file.stamp))
            .collect();
        let is_settled = stamps
            .iter()
            .all(|(_, stamp)| stamp.changed + SETTLED_NS < now);
        // What is not kept would be read again for each request, whether its client wants it or not.
        let is_small = |stamp: &Stamp| stamp.size <= options.memory_file;
        let limit = stamps
            .iter()
            .all(|(_, stamp)| is_small(stamp))
            .then_some(options.memory_file);
        let files = self.files.into_iter();
        let representations = files.map(|file| file.read(limit, base.clone(), now));
        Ok(Found {
            representations: representations.collect::<io::Result<_>>()?,
            stamps,
            is_settled,
        })
    }
}

impl OpenFile {
    /// `limit` is that of a file that is read whole, in bytes; `None` is one that is not.
    fn read(
        self,
        limit: Option<u64>,
        mut headers: HeaderMap,
        now: i128,
    ) -> io::Result<Representation> {
        let (stamp, encoding) = (self.stamp, self.encoding);
        let content = match limit {
            Some(limit) => self.whole(limit)?,
            None => Content::File(Arc::new(self.file)),
        };
        let size = match &content {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_) => stamp.size,
        };
        let modified = u64::try_from(stamp.modified.div_euclid(1_000_000_000)).ok();
        let validators = Validators {
            etag: etag(&content, &stamp, encoding, now),
            modified: modified.filter(|_| stamp.modified <= now),
            is_settled: stamp.modified + SETTLED_NS < now,
        };
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        headers.insert(header::ETAG, validators.etag.clone());
        if let Some(date) = validators.modified.and_then(conditional::written) {
            headers.insert(header::LAST_MODIFIED, date);
        }
        if let Some(encoding) = encoding {
            let name = HeaderValue::from_static(encoding.name());
            headers.insert(header::CONTENT_ENCODING, name);
        }
        Ok(Representation {
            encoding,
            headers,
            validators,
            content,
            size,
        })
    }

    fn whole(&self, limit: u64) -> io::Result<Content> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.stamp.size).unwrap_or(0) + 1);
        // It may have grown, and without end.
        (&self.file).take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other("the file grows while it is read"));
        }
        bytes.shrink_to_fit();
        Ok(Content::Memory(bytes.into()))
    }
}

impl Found {
    /// How much memory it takes; `None` where not all of it is in memory.
    pub(super) fn bytes(&self) -> Option<u64> {
        // What is around the content: headers, stamps, the place in the cache.
        const AROUND: u64 = 1024;
        self.representations
            .iter()
            .try_fold(0, |sum, one| match &one.content {
                Content::Memory(bytes) => Some(sum + AROUND + bytes.len() as u64),
                Content::File(_) => None,
            })
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// What is in memory has a tag of its content, the same on every machine. What is not would have to
/// be read whole: it has one of its size and time, weak as long as that time may be that of two
/// contents.
fn etag(content: &Content, stamp: &Stamp, encoding: Option<Encoding>, now: i128) -> HeaderValue {
    let coding = encoding.map_or("", Encoding::suffix);
    let text = match content {
        Content::Memory(bytes) => format!("\"{:032x}{coding}\"", xxh3_128(bytes)),
        Content::File(_) => {
            let weak = if stamp.changed + SETTLED_NS < now {
                ""
            } else {
                "W/"
            };
            let time = stamp.modified.cast_unsigned();
            format!("{weak}\"{:x}-{time:x}{coding}\"", stamp.size)
        }
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("W/\"\""))
}

/// By the end of its name; text is UTF-8.
fn content_type(name: &str) -> HeaderValue {
    let kind = mime_guess::from_path(name).first_raw();
    let kind = kind.unwrap_or("application/octet-stream");
    if !kind.starts_with("text/") && kind != "application/javascript" {
        return HeaderValue::from_static(kind);
    }
    HeaderValue::try_from(format!("{kind}; charset=utf-8"))
        .unwrap_or(HeaderValue::from_static(kind))
}

/// In nanoseconds since 1970.
fn now() -> i128 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i128::try_from(since.as_nanos()).unwrap_or(0))
}
