"""The counts of the published data sets, and notes about them."""

from passerby.data.table import CropTable

# name -> split -> (people, pictures); distractors and junk are no people, junk is not counted
COUNTS: dict[str, dict[str, tuple[int, int]]] = {
    "market1501": {"train": (751, 12936), "query": (750, 3368), "gallery": (750, 15913)},
    "dukemtmc-reid": {"train": (702, 16522), "query": (702, 2228), "gallery": (1110, 17661)},
    "msmt17": {"train": (1041, 32621), "query": (3060, 11659), "gallery": (3060, 82161)},
    "msmt17-train-list": {"train": (1041, 30248), "query": (3060, 11659), "gallery": (3060, 82161)},
    "cuhk03-detected": {"train": (767, 7365), "query": (700, 1400), "gallery": (700, 5332)},
    "cuhk03-labeled": {"train": (767, 7368), "query": (700, 1400), "gallery": (700, 5328)},
    "personx": {"train": (410, 9840), "query": (856, 5136), "gallery": (856, 30816)},
}

# name -> (people, different pictures) of all splits together, where the splits are not published
TOTALS: dict[str, tuple[int, int]] = {
    "cuhk03-old-detected": (1467, 14097),
    "cuhk03-old-labeled": (1467, 14096),
    "personx-456": (1266, 136728),
}

NOTES: dict[str, str] = {
    "market1501": "bounding_box_test holds 19,732 files: 13,115 of people, 2,798 distractors "
    "(0000) and 3,819 junk boxes (-1); figures with 32,668 pictures count the junk",
    "dukemtmc-reid": "withdrawn by its authors in 2019 for want of consent of the people shown; "
    "use it to compare with published figures only, if at all; 408 people of its gallery are in no "
    "query; it has 36,411 pictures, of which some papers write 36,441",
    "msmt17": "train and validation list together; much published code trains on list_train alone "
    "(msmt17-train-list); the lists number training and test people alike, here they are numbered "
    "apart; code that reads one digit of the camera merges cameras 10 to 15 into 1 (protocol "
    "legacy-one-digit-camera)",
    "msmt17-train-list": "list_train alone; other published code adds list_val (msmt17)",
    "cuhk03-detected": "new protocol (767/700 people), boxes of a detector; the five camera pairs "
    "count as two cameras",
    "cuhk03-labeled": "new protocol (767/700 people), boxes by hand; the five camera pairs count "
    "as two cameras",
    "cuhk03-old-detected": "old protocol, one of 20 splits (cuhk03-old-detected@0 to @19): use "
    "protocol cuhk03-old and average over the splits",
    "cuhk03-old-labeled": "old protocol, one of 20 splits (cuhk03-old-labeled@0 to @19): use "
    "protocol cuhk03-old and average over the splits",
    "personx": "subset1, the set of 9,840 + 5,136 + 30,816 pictures in published tables; its six "
    "cameras are numbered 3, 4, 8, 10, 11 and 12; papers call it PersonX, as they do other parts",
    "personx-456": "backgrounds 4, 5 and 6 of PersonX_v1; not the set of the published tables",
}


def differences(table: CropTable) -> list[str]:
    """List the differences between ``table`` and the published counts of its name, if known."""
    found = []
    for split, wanted in COUNTS.get(table.name, {}).items():
        part = table.select((table.split == split) & (table.identity >= 0))
        people = len(set(part.identity[part.identity > 0].tolist()))
        if (people, len(part)) != wanted:
            found.append(
                f"{split} has {people} people in {len(part)} pictures, "
                f"as published {wanted[0]} in {wanted[1]}"
            )
    total = len(set(table.identity[table.identity > 0].tolist())), len(set(table.path.tolist()))
    if table.name in TOTALS and total != TOTALS[table.name]:
        people, pictures = TOTALS[table.name]
        found.append(
            f"there are {total[0]} people in {total[1]} pictures, "
            f"as published {people} in {pictures}"
        )
    return found
