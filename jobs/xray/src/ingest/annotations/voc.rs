//! Pascal VOC's XML: one file for each image.

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};
use tidewaiter_core::{Error, Result};

use super::collected::OfImage;
use crate::{boxes::Rectangle, table::Annotated};

/// The objects of a file.
pub(super) fn read(text: &str) -> Result<OfImage> {
    let wrong = |what: String| Error::input(format!("it is no VOC annotation: {what}"));
    let mut reader = Reader::from_str(text);
    let mut path: Vec<String> = Vec::new();
    let mut objects = Vec::new();
    let (mut name, mut corners) = (None, [None::<f32>; 4]);
    let mut size = [None::<u64>; 2];
    let mut is_annotation = false;
    // The text of the innermost element, which comes in pieces where it has references such as `&amp;`.
    let mut value = String::new();
    loop {
        match reader.read_event().map_err(|error| wrong(error.to_string()))? {
            Event::Start(tag) => {
                path.push(String::from_utf8_lossy(tag.local_name().as_ref()).into_owned());
                is_annotation |= path == ["annotation"];
                value.clear();
            }
            Event::Text(text) => {
                value.push_str(&text.decode().map_err(|error| wrong(error.to_string()))?);
            }
            Event::GeneralRef(reference) => {
                let known = reference.resolve_char_ref().map_err(|error| wrong(error.to_string()))?;
                let entity = reference.decode().map_err(|error| wrong(error.to_string()))?;
                match known {
                    Some(character) => value.push(character),
                    None => value.push_str(resolve_xml_entity(&entity).unwrap_or_default()),
                }
            }
            Event::End(_) => {
                let value = std::mem::take(&mut value);
                let value = value.trim();
                let open: Vec<&str> = path.iter().map(String::as_str).collect();
                match open.as_slice() {
                    ["annotation", "object", "name"] => {
                        name = Some(value.to_owned()).filter(|name| !name.is_empty());
                    }
                    // Some programs write 0 where they do not know it.
                    ["annotation", "size", "width"] => size[0] = value.parse().ok().filter(|size| *size > 0),
                    ["annotation", "size", "height"] => size[1] = value.parse().ok().filter(|size| *size > 0),
                    ["annotation", "object", "bndbox", corner] => {
                        let place = ["xmin", "ymin", "xmax", "ymax"].iter().position(|known| known == corner);
                        if let Some(place) = place {
                            let number =
                                value.parse().map_err(|_| wrong(format!("{corner} is {value:?}")))?;
                            corners[place] = Some(number);
                        }
                    }
                    _ => {}
                }
                if path == ["annotation", "object"] {
                    let (Some(class), [Some(left), Some(top), Some(right), Some(bottom)]) =
                        (name.take(), std::mem::take(&mut corners))
                    else {
                        return Err(wrong("an object lacks its name or a corner".into()));
                    };
                    // Not `between`: corners the wrong way round are seen as a rectangle without area.
                    let rectangle = Rectangle { left, top, width: right - left, height: bottom - top };
                    objects.push(Annotated { class, rectangle, is_crowd: false });
                }
                path.pop();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    if !is_annotation || !path.is_empty() {
        return Err(wrong("it does not hold one whole <annotation>".into()));
    }
    let of_size = size[0].zip(size[1]);
    Ok(OfImage { objects, of_size, ..OfImage::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_and_a_broken_file_is_refused() {
        let text = "<annotation><filename>a.png</filename><object><name>gun</name><bndbox><xmin>1</xmin><ymin>2</ymin>\
                    <xmax>5</xmax><ymax>9</ymax></bndbox></object></annotation>";
        let read_back = read(text).expect("reads");
        assert_eq!(
            read_back.objects[0].rectangle,
            Rectangle { left: 1.0, top: 2.0, width: 4.0, height: 7.0 }
        );
        assert_eq!(read_back.objects[0].class, "gun");
        let referred = read(&text.replace("gun", "gun &amp; kn&#105;fe")).expect("reads");
        assert_eq!(referred.objects[0].class, "gun & knife");
        assert!(read(&text.replace("gun", " ")).is_err(), "an object without a name");
        for broken in
            ["", "<annotation>", "<x/>", &text.replace("<xmin>1", "<xmin>one"), &text.replace("name>", "n>")]
        {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
