"""Claims on files of scanners and of other people's software.

Stored values were read from the raw bytes with `od` at the offset of the pixel data (compressed
ones after DCMTK's `dcmdrle`, `dcmdjpeg`, `dcmdjpls` or `dcmconv`; for those of the NEMA set that
have an uncompressed reference, from the reference), header values with `dcmdump`; the rest is the
arithmetic of the clause, in a comment. `README.md` shows how.
"""

from __future__ import annotations

from dicom_conformance.claims import At, Claim

CT_RANGE = {"range": (-1024.0, 3071.0)}
REQUIRE = {"voi": "require"}
LEVEL = 1 / 255

# wg04/CT1_UNC: intercept -1024, slope 1; stored 1157, 965, 172, 1056
CT1 = At((512, 512), {(100, 256): 133, (256, 256): -59, (256, 100): -852, (400, 300): 32})
# wg04/US1_UNC: three bytes at 3 * (640 row + column)
US1 = At(
    (480, 640, 3),
    {
        (161, 18, 0): 1.0,  # 255
        (161, 18, 1): 0.968627,  # 247
        (161, 18, 2): 0.0,
        (170, 621, 1): 0.435294,  # 111
        (187, 191, 0): 0.666667,  # 170
        (187, 191, 1): 0.054902,  # 14
    },
)
# wg04/MR1_UNC, stored
MR1 = At((512, 512), {(0, 0): 0, (256, 256): 552, (100, 200): 182, (300, 310): 608})

NEMA = [
    Claim(
        "NEMA CT, native: Hounsfield units",
        "PS3.3 C.11.1.1.2",
        "wg04/CT1_UNC",
        "values",
        CT1,
        ask=CT_RANGE,
    ),
    Claim(
        "NEMA CT, RLE: Hounsfield units",
        "PS3.5 annex G",
        "wg04/CT1_RLE",
        "values",
        CT1,
        ask=CT_RANGE,
    ),
    Claim(
        "NEMA CT, JPEG lossless: Hounsfield units",
        "PS3.5 A.4.1",
        "wg04/CT1_JPLL",
        "values",
        CT1,
        ask=CT_RANGE,
    ),
    Claim(
        "NEMA CT, JPEG-LS: Hounsfield units",
        "PS3.5 A.4.3",
        "wg04/CT1_JLSL",
        "values",
        CT1,
        ask=CT_RANGE,
    ),
    Claim(
        "NEMA CT, JPEG 2000: Hounsfield units",
        "PS3.5 A.4.4",
        "wg04/CT1_J2KR",
        "values",
        CT1,
        ask=CT_RANGE,
    ),
    Claim(
        "NEMA CT: what lies outside of the circle is padding",
        "PS3.3 C.7.5.1.1.2",
        "wg04/CT1_UNC",
        "valid",
        # Pixel Padding Value -2000; stored 0xf830 = -2000, and 965
        At((512, 512), {(0, 0): False, (256, 256): True, (100, 256): True}),
    ),
    Claim(
        "NEMA CT: pixel spacing", "PS3.3 10.7.1.3", "wg04/CT1_UNC", "spacing", (0.661468, 0.661468)
    ),
    Claim("NEMA MR, RLE: stored values", "PS3.5 annex G", "wg04/MR1_RLE", "stored", MR1),
    Claim("NEMA MR, JPEG 2000: stored values", "PS3.5 A.4.4", "wg04/MR1_J2KR", "stored", MR1),
    Claim("NEMA MR, JPEG-LS: stored values", "PS3.5 A.4.3", "wg04/MR1_JLSL", "stored", MR1),
    Claim(
        "NEMA MR: its window where it is asked for",
        "PS3.3 C.11.2.1.2.1",
        "wg04/MR1_UNC",
        "grey",
        # center 600, width 1600: (552 - 599.5) / 1599 + 0.5, (182 - 599.5) / 1599 + 0.5
        At((512, 512), {(256, 256): 0.470294, (100, 200): 0.238899, (300, 310): 0.505316}),
        ask=REQUIRE,
    ),
    Claim(
        "NEMA radiograph: its window of ten bits",
        "PS3.3 C.11.2.1.2.1",
        "wg04/RG2_UNC",
        "grey",
        # center 511, width 1024: (893 - 510.5) / 1023 + 0.5, (657 - 510.5) / 1023 + 0.5
        At((2140, 1760), {(0, 0): 0.873900, (1000, 800): 0.643206, (500, 900): 0.589443}),
        ask={"voi": "if-present"},
    ),
    Claim(
        "NEMA ultrasound, native: red, green, blue",
        "PS3.3 C.7.6.3.1.3",
        "wg04/US1_UNC",
        "colour",
        US1,
    ),
    Claim("NEMA ultrasound, RLE: red, green, blue", "PS3.5 annex G", "wg04/US1_RLE", "colour", US1),
    Claim(
        "NEMA ultrasound, JPEG 2000 with YBR_RCT: red, green, blue",
        "PS3.5 8.2.4",
        "wg04/US1_J2KR",
        "colour",
        US1,
    ),
    Claim(
        "NEMA angiogram: stored values of ten bits",
        "PS3.5 8.1.1",
        "wg04/XA1_UNC",
        "stored",
        At((1024, 1024), {(0, 0): 0, (512, 512): 99, (300, 700): 117}),
        frame=0,
    ),
    Claim(
        "NEMA nuclear medicine: stored values, one frame",
        "PS3.3 C.7.6.6",
        "wg04/NM1_UNC",
        "stored",
        At((1024, 256), {(300, 128): 42, (350, 100): 30, (700, 120): 0}),
        frame=0,
    ),
    Claim(
        "NEMA nuclear medicine, JPEG of twelve bits is refused by name",
        "PS3.5 A.4.1",
        "wg04/NM1_JPLY",
        "refused",
        ("unsupported",),
        frame=0,
        rule=True,
    ),
]

CT_CONTRAST = [
    Claim(
        "a scan of 12 bits in a range of HU, not in its window",
        "PS3.3 C.11.1.1.2, C.11.2.1.2",
        "ct_contrast/dicom_dir/ID_0000_AGE_0060_CONTRAST_1_CT.dcm",
        "grey",
        # windows 10/400 and -550/1800 are there; stored 1095, 142, 455, 0: (x - 1024 + 1024) / 4095
        At(
            (512, 512),
            {(256, 256): 0.267399, (250, 100): 0.034676, (300, 200): 0.111111, (0, 0): 0.0},
        ),
    ),
    Claim(
        "a scan with a slope of 1.0002441",
        "PS3.3 C.11.1.1.2",
        "ct_contrast/dicom_dir/ID_0005_AGE_0048_CONTRAST_1_CT.dcm",
        "values",
        # 1056 * 1.0002441 - 1024, 958 * 1.0002441 - 1024
        At((512, 512), {(256, 256): 32.25777, (300, 200): -65.76615}),
        tolerance=1e-3,
    ),
    Claim(
        "a scan whose surround is padding",
        "PS3.3 C.7.5.1.1.2",
        "ct_contrast/dicom_dir/ID_0008_AGE_0051_CONTRAST_1_CT.dcm",
        "valid",
        # Pixel Padding Value SS -2000; stored -2000, -2000, 1125, 25
        At((512, 512), {(0, 0): False, (511, 511): False, (256, 256): True, (0, 256): True}),
    ),
    Claim(
        "the padded surround of a scan is the lowest output",
        "PS3.3 C.7.5.1.1.2",
        "ct_contrast/dicom_dir/ID_0008_AGE_0051_CONTRAST_1_CT.dcm",
        "grey",
        At((512, 512), {(0, 0): 0.0, (256, 256): 0.274725}),  # 1125 / 4095
    ),
    Claim(
        "a scan whose padding value is written as unsigned 63536",
        "PS3.3 C.7.5.1.1.2; PS3.5 6.2",
        "ct_contrast/dicom_dir/ID_0022_AGE_0074_CONTRAST_1_CT.dcm",
        "valid",
        # 63536 - 65536 = -2000, which does not occur; the surround is stored -1024
        At((512, 512), {(0, 0): True, (256, 256): True, (200, 300): True}),
    ),
    Claim(
        "what lies below the range of HU is its lowest output",
        "PS3.3 C.11.1.1.2",
        "ct_contrast/dicom_dir/ID_0022_AGE_0074_CONTRAST_1_CT.dcm",
        "grey",
        # stored -1024 is -2048 HU; 922 is -102 HU: (-102 + 1024) / 4095
        At((512, 512), {(0, 0): 0.0, (256, 256): 0.225153}),
    ),
]

ODD = [
    Claim(
        "CR of MONOCHROME1: slope .684, intercept 200",
        "PS3.3 C.11.1.1.2",
        "odd/CR_MONOCHROME1_6154.dcm",
        "values",
        # 1994 * .684 + 200, 2646 * .684 + 200, 2418 * .684 + 200
        At((16, 16), {(0, 0): 1563.896, (7, 7): 2009.864, (15, 15): 1853.912}),
        tolerance=1e-2,
    ),
    Claim(
        "CR of MONOCHROME1: the highest value is the darkest",
        "PS3.3 C.7.6.3.1.2",
        "odd/CR_MONOCHROME1_6154.dcm",
        "order",
        [(7, 7), (15, 15), (0, 1), (0, 0)],  # stored 2646, 2418, 2031, 1994
    ),
    Claim(
        "CR of MONOCHROME1: window, then inversion",
        "PS3.3 C.11.2.1.2.1, C.7.6.3.1.2",
        "odd/CR_MONOCHROME1_6154.dcm",
        "grey",
        # center 1600, width 2800: 1 - ((1563.896 - 1599.5) / 2799 + 0.5)
        At((16, 16), {(0, 0): 0.512720, (7, 7): 0.353389}),
        ask={"voi": "if-present"},
    ),
    Claim(
        "CR with Imager Pixel Spacing alone: no spacing of the patient",
        "PS3.3 10.7.1.1",
        "odd/CR_MONOCHROME1_6154.dcm",
        "spacing",
        None,
    ),
    Claim(
        "DX of MONOCHROME1 with an inverse presentation: inverted once",
        "PS3.3 C.8.11.3, Presentation LUT Shape",
        "odd/966_fixed.dcm",
        "grey",
        # window 2048, 4096: the identity; stored 809, 1973, 2403: 1 - x / 4095
        At((2128, 2000), {(1000, 1000): 0.802442, (0, 0): 0.518193, (1500, 300): 0.413187}),
    ),
    Claim(
        "a modality LUT of 4096 entries from -2048",
        "PS3.3 C.11.1.1.1",
        "odd/mlut_18.dcm",
        "values",
        # stored 0xfff = -1: entry 2047; 0x3ff = 1023: entry 3071; 0x028 = 40: entry 2088;
        # 0x7ff = 2047: entry 4095; 0x800 = -2048: entry 0
        At(
            (512, 512),
            {(0, 0): 32759, (0, 1): 49147, (255, 255): 33416, (100, 10): 65535, (7, 7): 0},
        ),
        ask={"range": (0.0, 65535.0)},
    ),
    Claim(
        "a VOI LUT of 256 entries of 16 bits",
        "PS3.3 C.11.2.1.1",
        "odd/vlut_04.dcm",
        "grey",
        # stored 127, 191, 122, 255: entries 32639, 49087, 31354, 65535 of 65535
        At((512, 512), {(0, 0): 0.498039, (0, 1): 0.749020, (256, 256): 0.478431, (100, 10): 1.0}),
        ask={"voi": "if-present"},
    ),
    Claim(
        "a palette of 200 entries of 16 bits, eight in use",
        "PS3.3 C.7.6.3.1.5",
        "odd/OT-PAL-8-face.dcm",
        "colour",
        # stored 96: 0, 0, 0; 90: 4900, 5f00, 0; 139: c700, 4000, 6d00 (hexadecimal) of ffff
        At(
            (480, 640, 3),
            {
                (0, 0, 0): 0.0,
                (0, 0, 1): 0.0,
                (0, 0, 2): 0.0,
                (100, 52, 0): 0.285161,
                (100, 52, 1): 0.371100,
                (100, 52, 2): 0.0,
                (240, 321, 0): 0.777356,
                (240, 321, 1): 0.250004,
                (240, 321, 2): 0.425788,
            },
        ),
        tolerance=LEVEL,
    ),
    Claim(
        "a perfusion map with a supplemental palette: its grey values",
        "PS3.3 C.8.16.2.1.1.1; C.11.1.1.2",
        "odd/eCT_Supplemental.dcm",
        "values",
        # shared group: intercept -1024, slope 1; stored 24, 1022
        At((512, 512), {(195, 226): -1000, (269, 225): -2, (0, 0): -1024}),
        frame=0,
        ask=CT_RANGE,
    ),
    Claim(
        "the second frame of a perfusion map",
        "PS3.3 C.7.6.6",
        "odd/eCT_Supplemental.dcm",
        "values",
        At((512, 512), {(124, 233): -2}),  # stored 1022 at 2 * (262144 + 63721)
        frame=1,
        ask=CT_RANGE,
    ),
    Claim(
        "the first frame of an enhanced MR",
        "PS3.3 C.7.6.6",
        "odd/emri_small.dcm",
        "stored",
        At((64, 64), {(0, 0): 31, (0, 1): 8, (32, 20): 132}),
        frame=0,
    ),
    Claim(
        "the last frame of an enhanced MR",
        "PS3.3 C.7.6.6",
        "odd/emri_small.dcm",
        "stored",
        At((64, 64), {(0, 0): 110, (0, 1): 13, (32, 20): 105}),
        frame=9,
    ),
    Claim(
        "colour by plane",
        "PS3.3 C.7.6.3.1.3",
        "odd/color-pl.dcm",
        "colour",
        # 32, 40, 40 and 136, 136, 136
        At(
            (120, 256, 3),
            {
                (3, 232, 0): 0.125490,
                (3, 232, 1): 0.156863,
                (3, 232, 2): 0.156863,
                (60, 140, 1): 0.533333,
            },
        ),
    ),
    Claim(
        "the same picture, colour by pixel",
        "PS3.3 C.7.6.3.1.3",
        "odd/color-px.dcm",
        "colour",
        At(
            (120, 256, 3),
            {
                (3, 232, 0): 0.125490,
                (3, 232, 1): 0.156863,
                (3, 232, 2): 0.156863,
                (60, 140, 1): 0.533333,
            },
        ),
    ),
    Claim(
        "big endian colour by plane",
        "PS3.5 A.3 (retired)",
        "odd/ExplVR_BigEnd.dcm",
        "colour",
        # 171, 171, 171 and 255, 255, 0
        At(
            (60, 80, 3),
            {
                (0, 0, 0): 0.670588,
                (0, 0, 2): 0.670588,
                (25, 0, 0): 1.0,
                (25, 0, 1): 1.0,
                (25, 0, 2): 0.0,
            },
        ),
    ),
    Claim(
        "a deflated image",
        "PS3.5 A.5",
        "odd/image_dfl.dcm",
        "stored",
        At((512, 512), {(0, 0): 213, (256, 256): 65, (100, 300): 70, (400, 77): 115}),
    ),
    Claim(
        "an overlay is not burnt into the pixels",
        "PS3.3 C.9.2",
        "odd/MR-SIEMENS-DICOM-WithOverlays.dcm",
        "stored",
        # overlay byte 8280 is 0xf0: bits of the pixels 66244 to 66247, row 136, columns 420 to 423
        At((484, 484), {(136, 420): 9, (200, 200): 122, (240, 240): 107, (300, 100): 174}),
    ),
    Claim(
        "a dose of 32 bits",
        "PS3.3 C.8.8.3",
        "odd/rtdose_1frame.dcm",
        "values",
        # 0x00130ee8 = 1249000, 0x001312d0 = 1250000; times 1e-6
        At((10, 10), {(0, 0): 1.249, (0, 1): 1.249, (0, 2): 1.25}),
        ask={"range": (0.0, 10.0)},
        tolerance=1e-6,
    ),
    Claim(
        "a parametric map of floats",
        "PS3.3 C.7.6.24",
        "odd/parametric_map_float.dcm",
        "values",
        At((128, 128), {(0, 0): 0.920127809, (0, 1): 0.917845726, (0, 2): 0.924235523}),
        frame=0,
        ask={"range": (0.0, 1.0)},
        tolerance=1e-6,
    ),
    Claim(
        "a parametric map of doubles",
        "PS3.3 C.7.6.25",
        "odd/parametric_map_double_float.dcm",
        "values",
        At((128, 128), {(0, 0): 0.920127796, (0, 1): 0.917845733, (0, 2): 0.924235509}),
        frame=0,
        ask={"range": (0.0, 1.0)},
        tolerance=1e-6,
    ),
    Claim(
        "a segmentation of one bit a pixel",
        "PS3.5 8.1.1",
        "odd/liver_1frame.dcm",
        "stored",
        # byte 9311 = 0xc0: pixels 74494, 74495; byte 9312 = 0x17: 74496, -7, -8, 74500
        At(
            (512, 512),
            {
                (145, 253): 0,
                (145, 254): 1,
                (145, 255): 1,
                (145, 256): 1,
                (145, 258): 1,
                (145, 259): 0,
                (145, 260): 1,
            },
        ),
    ),
    Claim(
        "frames of 260100 bits do not begin at a byte",
        "PS3.5 8.1.1",
        "odd/liver_nonbyte_aligned.dcm",
        "stored",
        # byte 41851 = 0xc0: bits 334814 and 334815; minus 260100: row 146, columns 254, 255
        At(
            (510, 510),
            {
                (146, 253): 0,
                (146, 254): 1,
                (146, 255): 1,
                (146, 258): 1,
                (146, 259): 0,
                (146, 260): 1,
            },
        ),
        frame=1,
    ),
    Claim(
        "the third of frames of 260100 bits",
        "PS3.5 8.1.1",
        "odd/liver_nonbyte_aligned.dcm",
        "stored",
        # byte 74427 = 0xe8: bits 595419, 595421 to -3; minus 520200: row 147, columns 249, 251
        At((510, 510), {(147, 249): 1, (147, 250): 0, (147, 251): 1, (147, 253): 1}),
        frame=2,
    ),
    Claim(
        "JPEG lossless of sixteen bits",
        "PS3.5 A.4.1",
        "odd/JPEGLosslessP14SV1_1s_1f_u_16_16.dcm",
        "stored",
        At((535, 800), {(0, 0): 57054, (267, 400): 38550, (500, 700): 26985}),
        frame=0,
    ),
    Claim(
        "JPEG-LS of fifteen bits, signed",
        "PS3.5 A.4.3; 8.1.1",
        "odd/JLSL_16_15_1_1F.dcm",
        "stored",
        # 0x42eb - 0x8000, 0x2fad, 0x7ba0 - 0x8000
        At((128, 128), {(0, 0): -15637, (64, 64): 12205, (100, 30): -1120}),
    ),
    Claim(
        "JPEG-LS, colour by line",
        "PS3.5 8.2.3",
        "odd/JLSL_RGB_ILV1.dcm",
        "colour",
        # 161, 122, 108 and 136, 188, 73
        At(
            (256, 256, 3),
            {
                (0, 0, 0): 0.631373,
                (0, 0, 1): 0.478431,
                (0, 0, 2): 0.423529,
                (128, 128, 1): 0.737255,
            },
        ),
    ),
    Claim(
        "JPEG of twelve bits is refused by name",
        "PS3.5 A.4.1",
        "odd/JPEGExtended_1s_1f_u_16_12.dcm",
        "refused",
        ("unsupported",),
        frame=0,
        rule=True,
    ),
    Claim(
        "a number of frames of 1A is refused",
        "PS3.5 6.2 IS",
        "odd/badVR.dcm",
        "refused",
        ("header",),
    ),
    Claim(
        "an MR cut in its pixels is refused",
        "PS3.5 8.1.1",
        "odd/MR_truncated.dcm",
        "refused",
        ("corrupt",),
    ),
    Claim(
        "a file that lacks its last delimiter alone has all its frames",
        "PS3.5 A.4 (ten whole codestreams, each to its end marker ff d9)",
        "odd/emri_small_jpeg_2k_lossless_too_short.dcm",
        "stored",
        At((64, 64), {(0, 0): 110, (0, 1): 13, (32, 20): 105}),  # those of emri_small.dcm
        frame=9,
    ),
    Claim(
        "a structure set is no image", "PS3.3 A.19", "odd/rtstruct.dcm", "refused", ("no_image",)
    ),
    Claim(
        "a structured report is no image", "PS3.3 A.35", "odd/test-SR.dcm", "refused", ("no_image",)
    ),
]

# pydicom/dicomdirtests/77654033/CT2: positions z 103.019997, 104.269997, 105.519997, spacing
# 0.488281, first pixel 1929, 2328, 1646 with intercept -1024; instance numbers 180 to 182
CT2 = "pydicom/dicomdirtests/77654033/CT2"
PYDICOM = [
    Claim(
        "big endian words",
        "PS3.5 A.3 (retired)",
        "pydicom/MR_small_bigendian.dcm",
        "stored",
        # bytes 03 89, 00 b6, 04 90
        At((64, 64), {(0, 0): 905, (32, 32): 182, (46, 56): 1168}),
    ),
    Claim(
        "big endian, eight bits in words: the first pixel is the low byte",
        "PS3.5 8.1.1, 7.3",
        "pydicom/SC_rgb_small_odd_big_endian.dcm",
        "colour",
        # words 8da6 a634 348d ...: 166, 141, 52; row 1: 63, 87, 176; row 2: 158
        At(
            (3, 3, 3),
            {
                (0, 0, 0): 0.650980,
                (0, 0, 1): 0.552941,
                (0, 0, 2): 0.203922,
                (1, 0, 0): 0.247059,
                (1, 0, 1): 0.341176,
                (2, 2, 2): 0.619608,
            },
        ),
    ),
    Claim(
        "YBR_FULL_422: red, green, blue, black and grey",
        "PS3.3 C.7.6.3.1.2",
        "pydicom/SC_ybr_full_422_uncompressed.dcm",
        "colour",
        # 76 85 255, 150 46 20, 29 255 107, 0 128 128, 192 128 128
        At(
            (100, 100, 3),
            {
                (5, 0, 0): 1.0,
                (5, 0, 1): 0.0,
                (25, 0, 1): 1.0,
                (25, 0, 0): 0.0,
                (45, 1, 2): 1.0,
                (45, 1, 0): 0.0,
                (65, 0, 1): 0.0,
                (85, 0, 0): 0.752941,
            },
        ),
        tolerance=2 * LEVEL,
    ),
    Claim(
        "the second frame of RLE in colour",
        "PS3.5 annex G; PS3.3 C.7.6.6",
        "pydicom/SC_rgb_rle_2frame.dcm",
        "colour",
        # 0 255 255, 127 127 0
        At((100, 100, 3), {(5, 0, 0): 0.0, (5, 0, 1): 1.0, (55, 0, 0): 0.498039, (55, 0, 2): 0.0}),
        frame=1,
    ),
    Claim(
        "the last of fifteen frames of a dose",
        "PS3.3 C.8.8.3, C.7.6.6",
        "pydicom/rtdose.dcm",
        "values",
        # 1249000, 1250000, 1251000 at 4 * 1400, times 1e-6
        At((10, 10), {(0, 0): 1.249, (0, 1): 1.25, (0, 2): 1.251}),
        frame=14,
        ask={"range": (0.0, 10.0)},
        tolerance=1e-6,
    ),
    Claim(
        "a CT: its values in HU",
        "PS3.3 C.11.1.1.2",
        "pydicom/CT_small.dcm",
        "values",
        # 0x00af, 0x0788, 0x0441 minus 1024
        At((128, 128), {(0, 0): -849, (64, 64): 904, (100, 30): 65}),
        ask=CT_RANGE,
    ),
    Claim(
        "three slices of a CT lie where their positions say",
        "PS3.3 C.7.6.2.1.1",
        (f"{CT2}/17196", f"{CT2}/17136", f"{CT2}/17166"),
        "world",
        {
            (125.0, 128.100006, 103.019997): 905.0,
            (124.511719, 128.100006, 103.019997): 789.0,  # column 1: 125 - 0.488281; stored 1813
            (125.0, 128.100006, 104.269997): 1304.0,
            (125.0, 128.100006, 105.519997): 622.0,
        },
        ask=CT_RANGE,
    ),
    Claim(
        "three slices of a CT: the affine",
        "PS3.3 C.7.6.2.1.1",
        (f"{CT2}/17196", f"{CT2}/17136", f"{CT2}/17166"),
        "affine",
        # 104.269997 - 103.019997 = 1.25
        [
            [-0.488281, 0, 0, 125],
            [0, -0.488281, 0, 128.100006],
            [0, 0, 1.25, 103.019997],
            [0, 0, 0, 1],
        ],
        ask=CT_RANGE,
    ),
    Claim(
        "four slices of a CT, one of them 200 mm away, are no volume",
        "PS3.3 C.7.6.2.1.1",
        (f"{CT2}/17106", f"{CT2}/17136", f"{CT2}/17166", f"{CT2}/17196"),
        "refused",
        ("gap",),
        ask=CT_RANGE,
    ),
    Claim(
        "a treatment plan is no image", "PS3.3 A.20", "pydicom/rtplan.dcm", "refused", ("no_image",)
    ),
    Claim(
        "an electrocardiogram is no image",
        "PS3.3 A.34",
        "pydicom/waveform_ecg.dcm",
        "refused",
        ("no_image",),
    ),
    Claim(
        "a DICOMDIR is no image",
        "PS3.3 annex F",
        "pydicom/dicomdirtests/DICOMDIR",
        "refused",
        ("no_image",),
    ),
]

CLAIMS = [*NEMA, *CT_CONTRAST, *ODD, *PYDICOM]
