from graticule.spatial.box_columns import (
    FILE_BOX_COLUMNS,
    BoxColumns,
    find_box_columns,
    find_position_columns,
)


def test_flat_nested_and_virtual_box_columns_are_found_in_order():
    names = ["id", "bbox.xmin", "bbox.xmax", "bbox.ymin", "bbox.ymax", *FILE_BOX_COLUMNS.names]
    assert find_box_columns(names) == [
        BoxColumns("bbox.xmin", "bbox.ymin", "bbox.xmax", "bbox.ymax"),
        FILE_BOX_COLUMNS,
    ]
    assert find_box_columns(["XMIN", "YMIN", "XMAX", "YMAX"]) == [
        BoxColumns("XMIN", "YMIN", "XMAX", "YMAX")
    ]


def test_an_incomplete_box_is_not_one():
    assert find_box_columns(["bbox_xmin", "bbox_ymin", "bbox_xmax", "other_ymax"]) == []


def test_positions_pair_by_the_rest_of_their_names():
    names = [
        "pickup_longitude",
        "dropoff_longitude",
        "dropoff_latitude",
        "pickup_latitude",
        "Lat",
        "Lng",
        "x",
        "y",
    ]
    assert find_position_columns(names) == [
        ("pickup_longitude", "pickup_latitude"),
        ("dropoff_longitude", "dropoff_latitude"),
        ("Lng", "Lat"),
        ("x", "y"),
    ]


def test_words_that_only_contain_the_letters_do_not_pair():
    assert find_position_columns(["colony", "coloty", "flat", "flon", "max", "may", "lon"]) == []
